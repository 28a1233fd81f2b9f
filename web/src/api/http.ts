/** Requests with the bearer token: JSON in, JSON out, one silent retry after a refused token. */
import type { AuthSession } from "../auth/session";
import { errorFrom, unreachable } from "./errors";

export class Http {
  constructor(readonly auth: AuthSession) {}

  get = <T>(path: string, signal?: AbortSignal) => this.send<T>("GET", path, undefined, signal);
  post = <T>(path: string, body: object) => this.send<T>("POST", path, body);
  patch = <T>(path: string, body: object) => this.send<T>("PATCH", path, body);
  put = <T>(path: string, body: object) => this.send<T>("PUT", path, body);
  remove = (path: string) => this.send<undefined>("DELETE", path);

  private async send<T>(method: string, path: string, body?: object, signal?: AbortSignal): Promise<T> {
    const token = await this.auth.token();
    let answer = await this.once(token, method, path, body, signal);
    if (answer.status === 401) {
      answer = await this.once(await this.auth.refresh(token), method, path, body, signal);
    }
    if (answer.status < 200 || answer.status > 299) throw errorFrom(answer.status, answer.text);
    return (answer.text ? JSON.parse(answer.text) : undefined) as T;
  }

  private async once(token: string, method: string, path: string, body?: object, signal?: AbortSignal) {
    const headers: Record<string, string> = { accept: "application/json", authorization: `Bearer ${token}` };
    if (body) headers["content-type"] = "application/json";
    try {
      const response = await fetch(path, {
        method,
        headers,
        ...(body ? { body: JSON.stringify(body) } : {}),
        ...(signal ? { signal } : {}),
      });
      return { status: response.status, text: await response.text() };
    } catch (reason) {
      if (signal?.aborted) throw reason;
      throw unreachable();
    }
  }

  /** Uploads one file; `fetch` cannot report the progress of a request body, XMLHttpRequest can. `report` takes 0 to 1. */
  async upload<T>(path: string, file: File, report: (share: number) => void): Promise<T> {
    const token = await this.auth.token();
    let answer = await uploadOnce(token, path, file, report);
    if (answer.status === 401) answer = await uploadOnce(await this.auth.refresh(token), path, file, report);
    if (answer.status < 200 || answer.status > 299) throw errorFrom(answer.status, answer.text);
    return JSON.parse(answer.text) as T;
  }
}

function uploadOnce(token: string, path: string, file: File, report: (share: number) => void) {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const form = new FormData();
    form.append("files", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("authorization", `Bearer ${token}`);
    request.setRequestHeader("accept", "application/json");
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) report(event.loaded / event.total);
    };
    request.onload = () => {
      resolve({ status: request.status, text: request.responseText });
    };
    request.onerror = request.onabort = request.ontimeout = () => {
      reject(unreachable());
    };
    request.send(form);
  });
}
