/** Ways to sign in elsewhere, where the installation has any. */
import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { useServices } from "../api/services";

export function ProviderButtons({ disabled }: { disabled: boolean }) {
  const { auth } = useServices();
  const { data = [] } = useQuery({ queryKey: ["identity-providers"], queryFn: () => auth.providers() });
  const back = encodeURIComponent(location.pathname + location.search);

  return data.map(({ name, label }) => (
    <Button
      key={name}
      component="a"
      href={`/auth/oidc/${name}/start?return_to=${back}`}
      variant="default"
      fullWidth
      mt="xs"
      data-disabled={disabled || undefined}
      data-testid={`sign-in-with-${name}`}
    >
      Sign in with {label}
    </Button>
  ));
}
