/** The documents of a chatbot: drop or choose files, watch them become searchable, delete them. */
import { Button, FileButton, Loader, ScrollArea, Stack, Text, TextInput } from "@mantine/core";
import { IconUpload } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { DragEvent } from "react";

import { sentence } from "../api/errors";
import { useServices } from "../api/services";
import type { Chatbot, KnowledgeDocument } from "../api/types";
import { DocumentRow } from "./DocumentRow";
import { UploadRow } from "./UploadRow";
import { matching } from "./preview";
import { ACCEPTED, useUploads } from "./uploads";

const POLL_MS = 1_500;
/** So many are found without a search. */
const FEW = 6;

function unsettled(documents: KnowledgeDocument[] | undefined): boolean {
  return documents?.some((item) => item.status === "queued" || item.status === "processing") ?? false;
}

export function DocumentsPanel({ bot }: { bot: Chatbot }) {
  const { api } = useServices();
  const { uploads, add, dismiss } = useUploads(bot.id);
  const [over, setOver] = useState(false);
  const [wanted, setWanted] = useState("");
  const documents = useQuery({
    queryKey: ["documents", bot.id],
    queryFn: ({ signal }) => api.documents(bot.id, signal),
    refetchInterval: (query) => (unsettled(query.state.data) ? POLL_MS : false),
  });

  const shown = matching(documents.data ?? [], wanted);
  const drag = (inside: boolean) => (event: DragEvent) => {
    event.preventDefault();
    setOver(inside);
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void add([...event.dataTransfer.files]);
  };

  return (
    <ScrollArea h="100%" type="auto" onDragOver={drag(true)} onDragLeave={drag(false)} onDrop={drop}>
      <Stack p="md" gap="sm">
        <div className="drop-zone" data-over={over}>
          <Text size="sm" mb="xs">
            Drop files here, or
          </Text>
          <FileButton
            multiple
            accept={ACCEPTED.join(",")}
            inputProps={{ "aria-label": "Files to upload", "data-testid": "upload-input" } as object}
            onChange={(files) => void add(files)}
          >
            {(props) => (
              <Button {...props} size="xs" variant="default" leftSection={<IconUpload size={15} />}>
                Choose files
              </Button>
            )}
          </FileButton>
          <Text size="xs" c="dimmed" mt="xs">
            PDF, Office, HTML, Markdown, CSV, JSON, e-mail or text
          </Text>
        </div>
        {(documents.data?.length ?? 0) > FEW && (
          <TextInput
            size="xs"
            placeholder="Find a document"
            aria-label="Find a document"
            value={wanted}
            onChange={(event) => {
              setWanted(event.currentTarget.value);
            }}
            data-testid="find-document"
          />
        )}
        <Stack component="ul" gap="xs" p={0} m={0} style={{ listStyle: "none" }} aria-label="Documents">
          {uploads.map((upload) => (
            <UploadRow key={upload.id} upload={upload} onDismiss={dismiss} />
          ))}
          {shown.map((item) => (
            <DocumentRow key={item.id} bot={bot} document={item} />
          ))}
        </Stack>
        {wanted && shown.length === 0 && (
          <Text size="sm" c="dimmed" ta="center" role="status">
            No document has this in its name, source or metadata.
          </Text>
        )}
        {documents.isPending && <Loader size="sm" mx="auto" aria-label="Loading" />}
        {documents.isError && (
          <Text size="sm" c="red">
            {sentence(documents.error)}
          </Text>
        )}
        {documents.data?.length === 0 && uploads.length === 0 && (
          <Text size="sm" c="dimmed" ta="center">
            Answers come from the documents you add here.
          </Text>
        )}
      </Stack>
    </ScrollArea>
  );
}
