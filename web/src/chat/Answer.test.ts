import { readFileSync } from "node:fs";
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";

import { Answer, LinkHosts } from "./Answer";

const CORPUS = JSON.parse(
  readFileSync(new URL("../../../tests/fixtures/hostile_links.json", import.meta.url), "utf8"),
) as string[];
const HOSTS = ["good.test", "*.good.test"];

function rendered(text: string, hosts: readonly string[] = HOSTS): string {
  return renderToStaticMarkup(createElement(LinkHosts.Provider, { value: hosts }, createElement(Answer, { text })));
}

/** Everything in the page's HTML that a browser would load, follow or run. */
function addresses(html: string): string[] {
  const tags = html.match(/<[^>]*>/g) ?? [];
  return tags.flatMap((tag) => [
    ...(tag.match(/\b(?:href|src|srcset|action|formaction|data|poster|style|on\w+)="[^"]*"/g) ?? []),
    ...(/^<(?:script|iframe|object|embed|svg|style|link|meta|base|form|video|audio)/i.test(tag) ? [tag] : []),
  ]);
}

function foreign(html: string): string[] {
  return addresses(html).filter((found) => !/^(?:href|src)="https:\/\/(?:[a-z]+\.)?good\.test(?:[/?#][^"]*)?"$/.test(found));
}

describe("an answer", () => {
  it("renders no foreign address of the hostile corpus, even where the server let it through", () => {
    const found = CORPUS.map((text) => [text, foreign(rendered(text))] as const).filter(([, urls]) => urls.length > 0);
    expect(found).toEqual([]);
    expect(CORPUS.length).toBeGreaterThan(150);
  }, 60_000);

  it("links to the bot's hosts and shows their pictures", () => {
    expect(rendered("[guide](https://good.test/a) ![logo](https://cdn.good.test/l.png)")).toContain(
      '<a href="https://good.test/a" target="_blank" rel="noopener noreferrer nofollow">guide</a>',
    );
    expect(rendered("![logo](https://cdn.good.test/l.png)")).toContain('src="https://cdn.good.test/l.png"');
  });

  it("links nowhere when the bot names no host", () => {
    expect(addresses(rendered("[x](https://good.test/a) https://good.test ![y](/own.png)", []))).toEqual([]);
  });

  it("shows text where there was a link, and the alternative of a picture", () => {
    const html = rendered("[here](https://evil.test/x) ![a cat](https://evil.test/p.png)");
    expect(html).toContain("here");
    expect(html).toContain("a cat");
  });
});
