/** What the links of mails open: joining a company, a new password, the proof of an address. */
import { Alert, Button, Center, Paper, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { useState } from "react";
import type { FormEvent } from "react";

import { sentence } from "../api/errors";
import { useServices } from "../api/services";
import { Brand } from "../layout/Brand";
import { leaveMailed } from "./mailed";
import type { Mailed } from "./mailed";

const FORMS = {
  invite: {
    title: "Join your colleagues",
    text: "Choose a password. If you have an account with this address already, enter its password.",
    action: "Join",
    done: "You have joined. Sign in with your account; you find the company among yours.",
  },
  reset: {
    title: "Choose a new password",
    text: "You will be signed out everywhere.",
    action: "Set password",
    done: "Your password is changed. Sign in with the new one.",
  },
  verify: {
    title: "Confirm your e-mail address",
    text: "Confirm that this address is yours.",
    action: "Confirm",
    done: "Your address is confirmed.",
  },
};

export function MailedLink({ form, token }: Mailed) {
  const { auth } = useServices();
  const [password, setPassword] = useState("");
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const texts = FORMS[form];

  const follow = async () => {
    setBusy(true);
    setError(null);
    try {
      if (form === "invite" && (await auth.accept(token, password))) {
        leaveMailed();
        return;
      }
      if (form === "reset") await auth.reset(token, password);
      if (form === "verify") await auth.verifyEmail(token);
      setDone(true);
    } catch (reason) {
      setError(sentence(reason));
    }
    setBusy(false);
  };

  const submit = (event: FormEvent) => {
    event.preventDefault();
    void follow();
  };

  return (
    <Center mih="100dvh" p="md" bg="var(--page-rail)">
      <Stack w="100%" maw={400} gap="lg">
        <Stack align="center">
          <Brand size={36} />
        </Stack>
        <Paper withBorder p="lg" radius="lg">
          <form onSubmit={submit} data-testid="mailed-form">
            <Stack gap="sm">
              <Title order={1} size="h4">
                {texts.title}
              </Title>
              <Text size="sm" c={done ? undefined : "dimmed"} role={done ? "status" : undefined}>
                {done ? texts.done : texts.text}
              </Text>
              {form !== "verify" && !done && (
                <PasswordInput
                  label="Password"
                  description="At least 8 characters."
                  required
                  minLength={8}
                  maxLength={128}
                  autoComplete={form === "reset" ? "new-password" : undefined}
                  value={password}
                  onChange={(event) => {
                    setPassword(event.currentTarget.value);
                  }}
                />
              )}
              {error && (
                <Alert color="red" role="alert" p="sm" data-testid="mailed-error">
                  {error}
                </Alert>
              )}
              {done ? (
                <Button onClick={leaveMailed}>Go on</Button>
              ) : (
                <Button type="submit" loading={busy}>
                  {texts.action}
                </Button>
              )}
            </Stack>
          </form>
        </Paper>
      </Stack>
    </Center>
  );
}
