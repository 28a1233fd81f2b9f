/** The second step of a log-in: a code of the authenticator app, or a recovery code. */
import { Alert, Anchor, Button, Paper, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import type { FormEvent } from "react";

import { ApiError, sentence } from "../api/errors";
import { useServices } from "../api/services";

export function SecondFactor({ challenge }: { challenge: string }) {
  const { auth } = useServices();
  const [proof, setProof] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  /** A dead challenge takes no further code. */
  const [over, setOver] = useState(false);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await auth.verify(challenge, proof);
    } catch (reason) {
      setError(sentence(reason));
      setOver(reason instanceof ApiError && reason.status === 401);
      setProof("");
    }
    setBusy(false);
  };

  return (
    <Paper withBorder p="lg" radius="lg">
      <form onSubmit={(event) => void submit(event)} data-testid="second-factor-form">
        <Stack gap="sm">
          <Text size="sm">Enter the six digits that your authenticator app shows, or one of your recovery codes.</Text>
          <TextInput
            label="Code"
            required
            autoFocus
            autoComplete="one-time-code"
            maxLength={40}
            disabled={over}
            value={proof}
            onChange={(event) => {
              setProof(event.currentTarget.value);
            }}
          />
          {error && (
            <Alert color="red" role="alert" p="sm" data-testid="second-factor-error">
              {error}
            </Alert>
          )}
          <Button type="submit" loading={busy} disabled={over}>
            Continue
          </Button>
          <Anchor component="button" type="button" size="sm" onClick={auth.leaveChallenge}>
            Begin again
          </Anchor>
        </Stack>
      </form>
    </Paper>
  );
}
