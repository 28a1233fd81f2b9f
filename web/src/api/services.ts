/** Hands the API and the sign-in state to components. */
import { notifications } from "@mantine/notifications";
import { createContext, use, useSyncExternalStore } from "react";

import type { AuthSession, AuthState } from "../auth/session";
import type { Api } from "./client";
import { sentence } from "./errors";

export interface Services {
  auth: AuthSession;
  api: Api;
}

export const ServicesContext = createContext<Services | null>(null);

export function useServices(): Services {
  const services = use(ServicesContext);
  if (!services) throw new Error("ServicesContext is missing");
  return services;
}

export function useAuthState(): AuthState {
  const { auth } = useServices();
  return useSyncExternalStore(auth.subscribe, auth.snapshot);
}

export function showError(title: string, reason: unknown): void {
  notifications.show({ color: "red", title, message: typeof reason === "string" ? reason : sentence(reason) });
}
