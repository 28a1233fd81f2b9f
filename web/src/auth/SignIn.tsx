/** Sign in, register, or look around with the demo. */
import { Alert, Anchor, Button, Center, Divider, Paper, PasswordInput, Stack, Tabs, Text, TextInput, Title } from "@mantine/core";
import { useState } from "react";
import type { FormEvent } from "react";

import { sentence } from "../api/errors";
import { useAuthState, useServices } from "../api/services";
import { Brand } from "../layout/Brand";
import { ProviderButtons } from "./ProviderButtons";
import { SecondFactor } from "./SecondFactor";

type Busy = "form" | "demo" | null;

export function SignIn() {
  const { auth } = useServices();
  const [tab, setTab] = useState<string | null>("login");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [company, setCompany] = useState("");
  const [busy, setBusy] = useState<Busy>(null);
  const [asked, setAsked] = useState(false);
  const state = useAuthState();
  const [error, setError] = useState<string | null>(state.status === "out" ? (state.error ?? null) : null);
  const challenge = state.status === "out" ? state.challenge : undefined;
  const registering = tab === "register";

  const run = async (kind: Busy, action: () => Promise<unknown>) => {
    setBusy(kind);
    setError(null);
    try {
      await action();
    } catch (reason) {
      setError(sentence(reason));
    }
    setBusy(null);
  };

  const forgot = () => {
    if (!email) {
      setError("Enter your e-mail address first.");
      return;
    }
    void run("form", async () => {
      await auth.forgot(email);
      setBusy(null);
      setAsked(true);
    });
  };

  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run("form", () => (registering ? auth.register(email, password, company) : auth.login(email, password)));
  };

  return (
    <Center mih="100dvh" p="md" bg="var(--page-rail)">
      <Stack w="100%" maw={400} gap="lg">
        <Stack gap="sm" align="center">
          <Brand size={36} />
          <Title order={1} size="h4" ta="center">
            Answers from your own documents
          </Title>
          <Text c="dimmed" size="sm" ta="center">
            Build a chatbot, give it documents, and see where every answer comes from.
          </Text>
        </Stack>
        {challenge ? (
          <SecondFactor challenge={challenge} />
        ) : (
          <Paper withBorder p="lg" radius="lg">
            <Tabs
              value={tab}
              onChange={(value) => {
                setTab(value);
                setError(null);
              }}
            >
              <Tabs.List grow mb="md">
                <Tabs.Tab value="login">Sign in</Tabs.Tab>
                <Tabs.Tab value="register" data-testid="tab-register">
                  Register
                </Tabs.Tab>
              </Tabs.List>
            </Tabs>
            <form onSubmit={submit} data-testid="sign-in-form">
              <Stack gap="sm">
                {registering && (
                  <TextInput
                    label="Company"
                    required
                    autoComplete="organization"
                    maxLength={200}
                    value={company}
                    onChange={(event) => {
                      setCompany(event.currentTarget.value);
                    }}
                  />
                )}
                <TextInput
                  label="E-mail"
                  type="email"
                  required
                  autoComplete="email"
                  value={email}
                  onChange={(event) => {
                    setEmail(event.currentTarget.value);
                  }}
                />
                <PasswordInput
                  label="Password"
                  description={registering ? "At least 8 characters." : undefined}
                  required
                  minLength={registering ? 8 : undefined}
                  maxLength={128}
                  autoComplete={registering ? "new-password" : "current-password"}
                  value={password}
                  onChange={(event) => {
                    setPassword(event.currentTarget.value);
                  }}
                />
                {error && (
                  <Alert color="red" role="alert" p="sm" data-testid="sign-in-error">
                    {error}
                  </Alert>
                )}
                {asked && (
                  <Alert p="sm" role="status">
                    If there is an account with this address, a link for a new password is on its way.
                  </Alert>
                )}
                <Button type="submit" loading={busy === "form"} disabled={busy === "demo"} mt={4}>
                  {registering ? "Create account" : "Sign in"}
                </Button>
                {!registering && (
                  <Anchor component="button" type="button" size="sm" ta="center" onClick={forgot} data-testid="forgot">
                    Forgot your password?
                  </Anchor>
                )}
              </Stack>
            </form>
            <Divider label="or" my="md" />
            <Button
              variant="default"
              fullWidth
              loading={busy === "demo"}
              disabled={busy === "form"}
              onClick={() => void run("demo", auth.demo)}
              data-testid="use-demo"
            >
              Use the demo
            </Button>
            <ProviderButtons disabled={busy !== null} />
          </Paper>
        )}
      </Stack>
    </Center>
  );
}
