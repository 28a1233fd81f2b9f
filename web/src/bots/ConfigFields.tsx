/** The fields of a chatbot's configuration. */
import { NumberInput, Select, Slider, Stack, TagsInput, Text, Textarea, TextInput } from "@mantine/core";

import type { ChatbotConfig, RetrievalConfig } from "../api/types";
import { ChunkingFields } from "../knowledge/ChunkingFields";

interface Props {
  config: ChatbotConfig;
  onChange: (config: ChatbotConfig) => void;
}

export function ConfigFields({ config, onChange }: Props) {
  const set = (change: Partial<ChatbotConfig>) => {
    onChange({ ...config, ...change });
  };
  const setRetrieval = (change: Partial<RetrievalConfig>) => {
    set({ retrieval: { ...config.retrieval, ...change } });
  };
  return (
    <>
      <Textarea
        label="Greeting"
        description="What a visitor reads first."
        autosize
        minRows={2}
        maxRows={6}
        maxLength={1_000}
        value={config.greeting}
        onChange={(event) => {
          set({ greeting: event.currentTarget.value });
        }}
      />
      <Textarea
        label="Instructions"
        description="The system prompt: what the chatbot is for and how it answers."
        autosize
        minRows={4}
        maxRows={12}
        maxLength={8_000}
        value={config.system_prompt}
        onChange={(event) => {
          set({ system_prompt: event.currentTarget.value });
        }}
      />
      <Textarea
        label="Template"
        description="The whole text, with names such as {{system_prompt}}, {{persona}}, {{language}} and {{date}}; empty puts instructions, persona and tone together."
        autosize
        minRows={2}
        maxRows={12}
        maxLength={16_000}
        value={config.prompt.template}
        onChange={(event) => {
          set({ prompt: { ...config.prompt, template: event.currentTarget.value } });
        }}
      />
      <Select
        label="Long conversations"
        allowDeselect={false}
        data={[
          { value: "sliding", label: "Forget what is older" },
          { value: "summary", label: "Sum up what is older" },
          { value: "recall", label: "Recall what a question comes back to" },
        ]}
        value={config.context.strategy}
        onChange={(value) => {
          if (value === "sliding" || value === "summary" || value === "recall") {
            set({ context: { ...config.context, strategy: value } });
          }
        }}
      />
      <TextInput
        label="Tone"
        maxLength={200}
        value={config.tone}
        onChange={(event) => {
          set({ tone: event.currentTarget.value });
        }}
      />
      <TextInput
        label="Persona"
        maxLength={2_000}
        value={config.persona}
        onChange={(event) => {
          set({ persona: event.currentTarget.value });
        }}
      />
      <TextInput
        label="Model"
        required
        maxLength={100}
        value={config.model}
        onChange={(event) => {
          set({ model: event.currentTarget.value });
        }}
      />
      <Scale
        label="Temperature"
        value={config.temperature}
        max={2}
        step={0.1}
        onChange={(temperature) => {
          set({ temperature });
        }}
      />
      <NumberInput
        label="Longest answer, in tokens"
        min={1}
        max={4_096}
        allowDecimal={false}
        value={config.max_tokens}
        onChange={(value) => {
          if (typeof value === "number") set({ max_tokens: value });
        }}
      />
      <Select
        label="Answers come from"
        allowDeselect={false}
        data={[
          { value: "documents", label: "The documents only" },
          { value: "open", label: "The documents and what the model knows" },
        ]}
        value={config.retrieval.grounding}
        onChange={(value) => {
          if (value === "documents" || value === "open") setRetrieval({ grounding: value });
        }}
      />
      <Textarea
        label="When the documents have no answer"
        autosize
        minRows={1}
        maxRows={4}
        maxLength={1_000}
        value={config.no_answer}
        onChange={(event) => {
          set({ no_answer: event.currentTarget.value });
        }}
      />
      <NumberInput
        label="Passages per question"
        min={1}
        max={20}
        allowDecimal={false}
        value={config.retrieval.top_k}
        onChange={(value) => {
          if (typeof value === "number") setRetrieval({ top_k: value });
        }}
      />
      <Scale
        label="Least similarity of a passage"
        value={config.retrieval.min_score}
        max={1}
        step={0.05}
        onChange={(min_score) => {
          setRetrieval({ min_score });
        }}
      />
      <Scale
        label="How sure it must be that the documents answer"
        value={config.retrieval.min_relevance}
        max={1}
        step={0.05}
        onChange={(min_relevance) => {
          setRetrieval({ min_relevance });
        }}
      />
      <ChunkingFields
        chunking={config.chunking}
        onChange={(chunking) => {
          set({ chunking });
        }}
      />
      <Select
        label="Visitors see of a source"
        allowDeselect={false}
        data={[
          { value: "snippet", label: "What the answer cites" },
          { value: "passage", label: "Also what stands around it" },
        ]}
        value={config.visitor_sources}
        onChange={(value) => {
          if (value === "snippet" || value === "passage") set({ visitor_sources: value });
        }}
      />
      <TagsInput
        label="Hosts that answers may link to"
        description="example.com, or *.example.com for all below it. Links to others become their text."
        maxTags={50}
        value={config.guardrails.allowed_link_hosts}
        onChange={(hosts) => {
          set({ guardrails: { ...config.guardrails, allowed_link_hosts: hosts } });
        }}
      />
    </>
  );
}

interface ScaleProps {
  label: string;
  value: number;
  max: number;
  step: number;
  onChange: (value: number) => void;
}

function Scale({ label, value, max, step, onChange }: ScaleProps) {
  return (
    <Stack gap={4}>
      <Text size="sm" fw={600}>
        {label}{" "}
        <Text span c="dimmed">
          {value.toFixed(2)}
        </Text>
      </Text>
      <Slider thumbLabel={label} label={null} min={0} max={max} step={step} value={value} onChange={onChange} />
    </Stack>
  );
}
