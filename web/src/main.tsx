/** Starts the page. */
import "@mantine/core/styles.css";
import "@mantine/notifications/styles.css";
import "./layout/page.css";

import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./App";
import { Api } from "./api/client";
import { ServicesContext } from "./api/services";
import { ApiError } from "./api/errors";
import { Http } from "./api/http";
import { AuthSession } from "./auth/session";
import { theme } from "./theme";

const auth = new AuthSession(sessionStorage);
const services = { auth, api: new Api(new Http(auth)) };
const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 15_000,
      // What the server refused once it refuses again; only an absent or struggling server is asked twice.
      retry: (count, error) => count < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
    },
  },
});

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <MantineProvider theme={theme} defaultColorScheme="auto">
        <Notifications position="top-right" autoClose={6_000} />
        <QueryClientProvider client={queries}>
          <ServicesContext value={services}>
            <App />
          </ServicesContext>
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
}
