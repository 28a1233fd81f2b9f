/** The text of a document, page by page, more of it on request. */
import { Button, Divider, Loader, Stack, Text } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Fragment } from "react";

import { sentence } from "../api/errors";
import { useServices } from "../api/services";
import { pagesOf } from "./preview";

const CHARACTERS = 10_000;

export function DocumentTextPanel({ bot, document }: { bot: string; document: string }) {
  const { api } = useServices();
  const text = useInfiniteQuery({
    queryKey: ["document-text", bot, document],
    queryFn: ({ pageParam, signal }) => api.text(bot, document, pageParam, CHARACTERS, signal),
    initialPageParam: 0,
    getNextPageParam: (piece) => (piece.end < piece.total ? piece.end : undefined),
  });

  if (text.isPending) return <Loader size="sm" aria-label="Loading the text" />;
  if (text.isError) {
    return (
      <Text size="sm" c="red" role="alert">
        {sentence(text.error)}
      </Text>
    );
  }
  // A page that goes on in the next piece keeps its one heading.
  const shown = text.data.pages.flatMap(pagesOf);
  return (
    <Stack gap="sm">
      <div className="passage" dir="auto" data-testid="document-text">
        {shown.map(({ page, text: part }, index) => (
          <Fragment key={index}>
            {page !== null && page !== shown[index - 1]?.page && <Divider my="sm" label={`Page ${String(page)}`} />}
            {part}
          </Fragment>
        ))}
      </div>
      {text.hasNextPage && (
        <Button
          variant="default"
          size="xs"
          loading={text.isFetchingNextPage}
          onClick={() => void text.fetchNextPage()}
        >
          Show more
        </Button>
      )}
    </Stack>
  );
}
