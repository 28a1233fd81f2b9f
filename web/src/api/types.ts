/** What the HTTP API answers. */
import type { Citation, Usage } from "../protocol/frames";

export interface TokenGrant {
  access_token: string;
  refresh_token: string;
  expires_in: number;
  user: { id: string; email: string };
  tenant: { id: string; name: string; plan: string };
}

/** What a log-in answers in place of the tokens where there is a second factor. */
export interface MfaChallenge {
  mfa_required: true;
  challenge: string;
}

export interface TotpSecret {
  secret: string;
  uri: string;
}

export interface TotpEnabled {
  recovery_codes: string[];
  grant: TokenGrant;
}

export interface IdentityProvider {
  name: string;
  label: string;
}

export interface RetrievalConfig {
  top_k: number;
  min_score: number;
  min_relevance: number;
  grounding: "documents" | "open";
}

export interface ChunkingConfig {
  strategy: "structure" | "fixed";
  max_tokens: number;
  overlap_tokens: number;
  respect_sections: boolean;
  respect_pages: boolean;
}

/** The page changes the template only. */
export interface PromptConfig {
  template: string;
}

export interface ContextConfig {
  strategy: "sliding" | "summary" | "recall";
}

/** What a model would be told. */
export interface PromptPreview {
  asked: boolean;
  model: string;
  messages: { role: "system" | "user" | "assistant"; content: string }[];
  tokens: number;
  parts: Record<"system" | "examples" | "history" | "memory" | "passages" | "question", number>;
  exact: boolean;
  context_tokens: number;
  max_tokens: number;
  left_out: Record<"passages" | "history" | "examples", number>;
}

export interface ChatbotConfig {
  system_prompt: string;
  persona: string;
  tone: string;
  model: string;
  temperature: number;
  max_tokens: number;
  greeting: string;
  no_answer: string;
  prompt: PromptConfig;
  context: ContextConfig;
  retrieval: RetrievalConfig;
  chunking: ChunkingConfig;
  /** What a visitor sees of a source: what is cited, or also what stands around it. */
  visitor_sources: "snippet" | "passage";
  guardrails: GuardrailsConfig;
}

/** What the checks of the bot do; the page changes the hosts only. */
export interface GuardrailsConfig {
  allowed_link_hosts: string[];
}

export interface Chatbot {
  id: string;
  name: string;
  version: number;
  config: ChatbotConfig;
  created_at: string;
  updated_at: string;
}

export interface ConfigVersion {
  version: number;
  config: ChatbotConfig;
  created_at: string;
}

export interface KnowledgeDocument {
  id: string;
  name: string;
  media_type: string;
  size: number;
  status: "queued" | "processing" | "ready" | "failed";
  reason: string | null;
  pages: number | null;
  chunks: number | null;
  metadata: Record<string, string | number | boolean>;
  /** ISO 639-1; null where it was not recognised. */
  language: string | null;
  /** The address or path that it came from. */
  source: string | null;
  /** What could not be read of it, although the rest is searchable. */
  notice: string | null;
  /** Pages that are pictures whose text was recognised. */
  recognised_pages: number | null;
  /** Of these pages, from 0 to 1. */
  recognition_confidence: number | null;
  /** Its chunks were made with another chunking or model than the bot's now. */
  stale: boolean;
  created_at: string;
  updated_at: string;
}

export interface Passage {
  document_id: string;
  document_name: string;
  start: number;
  end: number;
  /** Characters of the whole document. */
  total: number;
  before: string;
  text: string;
  after: string;
  page: number | null;
  section: string | null;
}

export interface TextBlock {
  start: number;
  end: number;
  page: number | null;
  section: string | null;
}

export interface DocumentText {
  document_id: string;
  document_name: string;
  start: number;
  end: number;
  total: number;
  pages: number | null;
  language: string | null;
  text: string;
  blocks: TextBlock[];
}

export interface PreviewedChunk {
  ordinal: number;
  start: number;
  end: number;
  tokens: number;
  /** Characters at its beginning that the chunk before ends with. */
  overlap: number;
  page: number | null;
  section: string | null;
  text: string;
}

export interface ChunkPreview {
  chunking: ChunkingConfig;
  /** Tokens that the embedding model reads of a chunk, where it says so. */
  window: number | null;
  characters: number;
  previewed: number;
  pages: number | null;
  language: string | null;
  total: number;
  tokens: { total: number; min: number; median: number; mean: number; max: number };
  overlap: number;
  histogram: { low: number; high: number; chunks: number }[];
  chunks: PreviewedChunk[];
}

export interface ChatSession {
  id: string;
  chatbot_id: string;
  title: string;
  /** Null for a session of the tenant's own people. */
  visitor_id: string | null;
  /** The last turn of the branch that a new question continues. */
  head_turn_id: string | null;
  /** A closed session takes no more questions. */
  closed_at: string | null;
  created_at: string;
  updated_at: string;
}

export interface SessionChange {
  title?: string;
  closed?: boolean;
  head_turn_id?: string;
}

export type Rating = "up" | "down";

export interface Feedback {
  rating: Rating;
  comment: string;
}

export type TurnState = "accepted" | "running" | "completed" | "stopped" | "interrupted" | "failed";

export interface Message {
  id: string;
  turn_id: string;
  parent_turn_id: string | null;
  /** The turns that continue the same parent, oldest first, this one among them. */
  versions: string[];
  role: "user" | "assistant";
  content: string;
  /** Of the turn. */
  state: TurnState;
  citations: Citation[];
  usage: Usage | null;
  feedback: Feedback | null;
  delivered_at: string | null;
  created_at: string;
  /** A reviewer took it out of the conversation: the content is empty. */
  withheld: boolean;
}

export interface TraceCall {
  kind: string;
  engine: string;
  model: string;
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  embedded_tokens: number;
  cost_micro: number;
}

/** How a turn came to its answer; what the page does not show is left out. */
export interface Trace {
  state: TurnState;
  model: string | null;
  plan_reason: string | null;
  cost_micro: number;
  stages: { name: string; start_ms: number; ms: number }[];
  calls: TraceCall[];
  retrieval: { candidates: { fate: string }[] } | null;
  /** The prompt; null when the bot keeps no texts. */
  messages: { role: string; content: string }[] | null;
  cut: boolean;
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}
