/** Sets up a second factor: the secret for an authenticator app, a code that proves it, and the recovery codes. */
import { Alert, Anchor, Button, Code, Stack, Text, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { FormEvent } from "react";

import { sentence } from "../api/errors";
import { useServices } from "../api/services";

export function Enrolment({ onDone }: { onDone: () => void }) {
  const { api, auth } = useServices();
  const [code, setCode] = useState("");
  const begin = useMutation({ mutationFn: api.beginTotp });
  const confirm = useMutation({
    mutationFn: () => api.confirmTotp(code.replace(/\s/g, "")),
    // The sign-ins so far have ended: the answer brings new tokens.
    onSuccess: ({ grant }) => {
      auth.adopt(grant);
    },
  });
  const error = begin.error ?? confirm.error;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    confirm.mutate();
  };

  if (confirm.data) {
    return (
      <Stack gap="sm" data-testid="recovery-codes">
        <Text size="sm">
          Keep these recovery codes where only you find them. Each signs you in once when you do not have the app; they are
          not shown again.
        </Text>
        <Code block>{confirm.data.recovery_codes.join("\n")}</Code>
        <Button onClick={onDone}>I have kept them</Button>
      </Stack>
    );
  }
  return (
    <form onSubmit={submit} data-testid="enrolment-form">
      <Stack gap="sm">
        <Text size="sm">A second factor is six digits of an authenticator app on your phone, beside the password.</Text>
        {begin.data ? (
          <>
            <Text size="sm">
              Add this key to the app, or <Anchor href={begin.data.uri}>open it there</Anchor>:
            </Text>
            <Code block data-testid="totp-secret">
              {begin.data.secret}
            </Code>
            <TextInput
              label="Code that the app shows"
              required
              autoComplete="one-time-code"
              inputMode="numeric"
              maxLength={10}
              value={code}
              onChange={(event) => {
                setCode(event.currentTarget.value);
              }}
            />
            <Button type="submit" loading={confirm.isPending}>
              Confirm
            </Button>
          </>
        ) : (
          <Button
            loading={begin.isPending}
            onClick={() => {
              begin.mutate();
            }}
          >
            Set it up
          </Button>
        )}
        {error && (
          <Alert color="red" role="alert" p="sm">
            {sentence(error)}
          </Alert>
        )}
      </Stack>
    </form>
  );
}
