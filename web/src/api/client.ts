/** The endpoints that the page uses. */
import type { Http } from "./http";
import type {
  Chatbot,
  ChatbotConfig,
  ChatSession,
  ChunkingConfig,
  ChunkPreview,
  ConfigVersion,
  DocumentText,
  Feedback,
  KnowledgeDocument,
  Message,
  Page,
  Passage,
  PromptPreview,
  SessionChange,
  TotpEnabled,
  TotpSecret,
  Trace,
} from "./types";

const PAGE_SIZE = 100;
const MOST_PAGES = 50;

export class Api {
  constructor(readonly http: Http) {}

  beginTotp = () => this.http.post<TotpSecret>("/auth/mfa/totp/begin", {});
  confirmTotp = (code: string) => this.http.post<TotpEnabled>("/auth/mfa/totp/confirm", { code });

  chatbots = async () => (await this.http.get<{ items: Chatbot[] }>("/chatbots")).items;
  createChatbot = (name: string) => this.http.post<Chatbot>("/chatbots", { name });
  deleteChatbot = (bot: string) => this.http.remove(`/chatbots/${bot}`);
  saveConfig = (bot: string, config: ChatbotConfig) => this.http.put<Chatbot>(`/chatbots/${bot}/config`, config);
  previewPrompt = (bot: string, question: string, config: ChatbotConfig) =>
    this.http.post<PromptPreview>(`/chatbots/${bot}/prompt-preview`, { question, config });
  configVersions = async (bot: string) =>
    (await this.http.get<{ items: ConfigVersion[] }>(`/chatbots/${bot}/config/versions`)).items;

  sessions = (bot: string, cursor: string | null) =>
    this.http.get<Page<ChatSession>>(withCursor(`/chatbots/${bot}/sessions?limit=20`, cursor));
  createSession = (bot: string) => this.http.post<ChatSession>(`/chatbots/${bot}/sessions`, {});

  changeSession = (bot: string, session: string, change: SessionChange) =>
    this.http.patch<ChatSession>(`/chatbots/${bot}/sessions/${session}`, change);
  deleteSession = (bot: string, session: string) => this.http.remove(`/chatbots/${bot}/sessions/${session}`);

  saveFeedback = (bot: string, session: string, message: string, feedback: Feedback) =>
    this.http.put<Feedback>(`/chatbots/${bot}/sessions/${session}/messages/${message}/feedback`, feedback);
  deleteFeedback = (bot: string, session: string, message: string) =>
    this.http.remove(`/chatbots/${bot}/sessions/${session}/messages/${message}/feedback`);

  trace = (bot: string, session: string, message: string, signal?: AbortSignal) =>
    this.http.get<Trace>(`/chatbots/${bot}/sessions/${session}/messages/${message}/trace`, signal);

  /** The whole active branch, oldest first. */
  messages = (bot: string, session: string, signal?: AbortSignal) =>
    this.all<Message>(`/chatbots/${bot}/sessions/${session}/messages`, signal);

  documents = (bot: string, signal?: AbortSignal) =>
    this.all<KnowledgeDocument>(`/knowledgebase/${bot}/documents`, signal);
  deleteDocument = (bot: string, document: string) => this.http.remove(`/knowledgebase/${bot}/documents/${document}`);
  passage = (bot: string, document: string, start: number, end: number, signal?: AbortSignal) =>
    this.http.get<Passage>(
      `/knowledgebase/${bot}/documents/${document}/passage?start=${String(start)}&end=${String(end)}`,
      signal,
    );
  citation = (bot: string, session: string, message: string, position: number, signal?: AbortSignal) =>
    this.http.get<Passage>(
      `/chatbots/${bot}/sessions/${session}/messages/${message}/citations/${String(position)}`,
      signal,
    );
  text = (bot: string, document: string, start: number, limit: number, signal?: AbortSignal) =>
    this.http.get<DocumentText>(
      `/knowledgebase/${bot}/documents/${document}/text?start=${String(start)}&limit=${String(limit)}`,
      signal,
    );
  previewChunks = (bot: string, document: string, chunking: ChunkingConfig) =>
    this.http.post<ChunkPreview>(`/knowledgebase/${bot}/chunk-preview`, { document_id: document, chunking });
  saveChunking = (bot: string, chunking: ChunkingConfig) =>
    this.http.put<Chatbot>(`/chatbots/${bot}/config`, { chunking });
  upload = (bot: string, file: File, report: (share: number) => void) =>
    this.http.upload<{ documents: KnowledgeDocument[] }>(`/knowledgebase/${bot}/upload`, file, report);

  private async all<T>(path: string, signal?: AbortSignal): Promise<T[]> {
    const found: T[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < MOST_PAGES; page += 1) {
      const answer: Page<T> = await this.http.get(withCursor(`${path}?limit=${String(PAGE_SIZE)}`, cursor), signal);
      found.push(...answer.items);
      cursor = answer.next_cursor;
      if (!cursor) break;
    }
    return found;
  }
}

function withCursor(path: string, cursor: string | null): string {
  return cursor ? `${path}&cursor=${encodeURIComponent(cursor)}` : path;
}

/** Where a session's socket is, on the page's own origin. */
export function socketUrl(bot: string, session: string): string {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return `${scheme}://${location.host}/chatbots/${bot}/sessions/${session}/ws`;
}
