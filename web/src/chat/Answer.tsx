/** An answer's Markdown, rendered without trusting it. */
import { createContext, memo, useContext } from "react";
import type { ReactNode } from "react";
import Markdown from "react-markdown";
import type { Components } from "react-markdown";
import rehypeSanitize from "rehype-sanitize";
import remarkGfm from "remark-gfm";

/** Where links may lead and pictures come from, the bot's `allowed_link_hosts`. */
export const LinkHosts = createContext<readonly string[]>([]);

/** An absolute http(s) address on one of the hosts; the server takes the others out, this is for what it may miss. */
function allowed(address: string | undefined, hosts: readonly string[]): boolean {
  if (!address || !/^https?:\/\/[a-z0-9.-]+(?:[:/?#]|$)/i.test(address)) return false;
  try {
    const { hostname, username, password } = new URL(address);
    if (username || password) return false;
    return hosts.some((host) => (host.startsWith("*.") ? hostname.endsWith(host.slice(1)) : hostname === host));
  } catch {
    return false;
  }
}

function Link({ href, children }: { href?: string | undefined; children?: ReactNode }) {
  const hosts = useContext(LinkHosts);
  if (!allowed(href, hosts)) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

/** A picture from elsewhere would tell a stranger who reads this, and when. */
function Picture({ src, alt }: { src?: unknown; alt?: string | undefined }) {
  const hosts = useContext(LinkHosts);
  const shown = typeof src === "string" && allowed(src, hosts);
  return shown ? <img src={src} alt={alt ?? ""} loading="lazy" /> : <span>{alt}</span>;
}

const components: Components = {
  a: ({ href, children }) => <Link href={href}>{children}</Link>,
  img: ({ src, alt }) => <Picture src={src} alt={alt} />,
};
const remark = [remarkGfm];
const rehype = [rehypeSanitize];

export const Answer = memo(function Answer({ text, writing = false }: { text: string; writing?: boolean }) {
  return (
    <div className={writing ? "prose writing" : "prose"} dir="auto">
      <Markdown remarkPlugins={remark} rehypePlugins={rehype} components={components}>
        {text}
      </Markdown>
    </div>
  );
});
