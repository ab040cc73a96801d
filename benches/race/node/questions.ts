// How the programs of the peers talk with the race: a question a line, an answer a line, both JSON.
import { createInterface } from "node:readline";

export type Load = { atOnce: number; windowMs: number; runsMin: number; runsMax: number };
export type Batch = { seconds: number; latenciesMs: number[] };

/** Says that we are ready, and answers until the race hangs up. */
export async function answer(handlers: Record<string, (question: any) => Promise<object>>): Promise<never> {
  const say = (value: object) => process.stdout.write(JSON.stringify(value) + "\n");
  say({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      const question = JSON.parse(line);
      say(await handlers[question.ask](question));
    } catch (error) {
      say({ error: String((error as Error)?.stack ?? error) });
    }
  }
  process.exit(0);
}

/** Makes `run` so often and so many at once as the load says. */
export async function drive(load: Load, run: () => Promise<unknown>): Promise<Batch> {
  const begin = performance.now();
  const latenciesMs: number[] = [];
  let begun = 0;
  const client = async () => {
    while (begun < load.runsMax && (begun < load.runsMin || performance.now() - begin < load.windowMs)) {
      begun++;
      const started = performance.now();
      await run();
      latenciesMs.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: load.atOnce }, client));
  return { seconds: (performance.now() - begin) / 1000, latenciesMs };
}

export const pause = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));
