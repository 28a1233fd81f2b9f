/** Files on their way to the server, each with its progress. */
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";

import { newId } from "../api/identifiers";
import { sentence } from "../api/errors";
import { useServices } from "../api/services";
import type { KnowledgeDocument } from "../api/types";

export const ACCEPTED = [
  ".pdf",
  ".docx",
  ".pptx",
  ".xlsx",
  ".csv",
  ".tsv",
  ".html",
  ".htm",
  ".md",
  ".markdown",
  ".txt",
  ".json",
  ".jsonl",
  ".eml",
];

export interface Upload {
  id: string;
  name: string;
  /** 0 to 1. */
  share: number;
  error: string | null;
}

export function rejection(name: string, size: number): string | null {
  if (!ACCEPTED.some((ending) => name.toLowerCase().endsWith(ending))) {
    return "This kind of file is not supported. Use PDF, Word, PowerPoint, Excel, CSV, HTML, Markdown, JSON, e-mail or text.";
  }
  return size === 0 ? "The file is empty." : null;
}

export function useUploads(bot: string) {
  const { api } = useServices();
  const queries = useQueryClient();
  const [uploads, setUploads] = useState<Upload[]>([]);

  const change = useCallback((id: string, to: Partial<Upload> | null) => {
    setUploads((list) =>
      to === null ? list.filter((item) => item.id !== id) : list.map((i) => (i.id === id ? { ...i, ...to } : i)),
    );
  }, []);

  const add = useCallback(
    async (files: File[]) => {
      const batch = files.map((file) => ({
        file,
        upload: { id: newId(), name: file.name, share: 0, error: rejection(file.name, file.size) },
      }));
      setUploads((list) => [...list, ...batch.map((item) => item.upload)]);
      // One after the other: each file has its own progress and its own reason when it is refused.
      for (const { file, upload } of batch) {
        if (upload.error) continue;
        try {
          const { documents } = await api.upload(bot, file, (share) => {
            change(upload.id, { share });
          });
          queries.setQueryData<KnowledgeDocument[]>(["documents", bot], (known = []) => [
            ...documents.filter((made) => !known.some((item) => item.id === made.id)),
            ...known,
          ]);
          change(upload.id, null);
          void queries.invalidateQueries({ queryKey: ["documents", bot] });
        } catch (reason) {
          change(upload.id, { error: sentence(reason) });
        }
      }
    },
    [api, bot, change, queries],
  );

  const dismiss = useCallback(
    (id: string) => {
      change(id, null);
    },
    [change],
  );
  return { uploads, add, dismiss };
}
