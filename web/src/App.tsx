/** What a mailed link asks for, the sign-in page or the product, by the address and who is there. */
import { Center, Loader } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";

import { useAuthState, useServices } from "./api/services";
import { MailedLink } from "./auth/MailedLink";
import { takeArrival } from "./auth/arrival";
import { SignIn } from "./auth/SignIn";
import { useMailedLink } from "./auth/mailed";
import { Shell } from "./layout/Shell";

export function App() {
  const { auth } = useServices();
  const state = useAuthState();
  const queries = useQueryClient();
  const account = state.who?.user.id;
  const mailed = useMailedLink();

  useEffect(() => void auth.start(takeArrival()), [auth]);
  // Nothing of one account may be seen by the next.
  useEffect(() => () => queries.clear(), [account, queries]);

  if (state.status === "starting") {
    return (
      <Center mih="100dvh">
        <Loader aria-label="Starting" />
      </Center>
    );
  }
  if (mailed) return <MailedLink key={mailed.token} {...mailed} />;
  return state.status === "in" ? <Shell key={account} who={state.who} /> : <SignIn />;
}
