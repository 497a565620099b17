// The official TypeScript SDK over many streams: reads {sdk, jobs: [{name, url, key, beta, request}]} from standard
// input, and writes {name, message} or {name, error: {class, status, type, message}} for each, a line of JSON.
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const AT_ONCE = 8;
const TIMEOUT_MS = 30_000;

const { sdk, jobs } = JSON.parse(await text(process.stdin));
const { Anthropic, APIError, AnthropicError } = createRequire(sdk)('@anthropic-ai/sdk');

async function told({ url, key, beta, request }) {
  const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0, timeout: TIMEOUT_MS });
  const messages = beta ? client.beta.messages : client.messages;
  const stream = messages.stream(request, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  try {
    return { message: await stream.finalMessage() };
  } catch (error) {
    if (!(error instanceof AnthropicError)) throw error;
    const body = error instanceof APIError ? error.error : undefined;
    const { type, message } = body?.error ?? {};
    return { error: { class: error.constructor.name, status: error.status ?? null, type, message, text: String(error) } };
  }
}

const waiting = [...jobs];
async function worker() {
  for (let job = waiting.shift(); job; job = waiting.shift()) {
    let line;
    try {
      line = await told(job);
    } catch (error) {
      line = { crash: String(error?.stack ?? error) };
    }
    process.stdout.write(JSON.stringify({ name: job.name, ...line }) + '\n');
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, worker));
