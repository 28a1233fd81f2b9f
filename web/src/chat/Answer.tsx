/** An answer's Markdown, rendered without trusting it. */
import { memo } from "react";
import Markdown from "react-markdown";
import type { Components } from "react-markdown";
import rehypeSanitize from "rehype-sanitize";
import remarkGfm from "remark-gfm";

/** A picture from elsewhere would tell a stranger who reads this, and when. */
function ownImage(source: string): boolean {
  try {
    return new URL(source, location.href).origin === location.origin;
  } catch {
    return false;
  }
}

const components: Components = {
  a: ({ href, children }) => (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  ),
  img: ({ src, alt }) =>
    typeof src === "string" && ownImage(src) ? <img src={src} alt={alt ?? ""} loading="lazy" /> : <span>{alt}</span>,
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
