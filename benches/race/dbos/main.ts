// The race on DBOS. Environment: RACE_DATABASE, the address of an empty database. Argument: `first`, which answers the race's
// questions and runs workflows, or `remote`, which takes from the queue.
import { DBOS } from "@dbos-inc/dbos-sdk";
import { answer, drive, pause, type Load } from "../node/questions.ts";

type Steps = { n: number; payload: unknown };

const remote = DBOS.registerWorkflow(async (payload: unknown) => payload, { name: "remote" });

const workflows: Record<string, (input: any) => Promise<unknown>> = {
  one: async (payload: unknown) => DBOS.runStep(async () => payload, { name: "step" }),

  steps: async ({ n, payload }: Steps) => {
    for (let i = 0; i < n; i++) await DBOS.runStep(async () => payload, { name: "step" });
    return n;
  },

  slow: async ({ n, ms }: { n: number; ms: number }) => {
    for (let i = 0; i < n; i++) await DBOS.runStep(() => pause(ms), { name: "step" });
    return n;
  },

  // Work in another process goes through a queue.
  fanout: async ({ n, payload }: Steps) => {
    const enqueue = () => DBOS.startWorkflow(remote, { queueName: "race" })(payload);
    const handles = await Promise.all(Array.from({ length: n }, enqueue));
    return (await Promise.all(handles.map((handle) => handle.getResult({ pollingIntervalMs: 100 })))).length;
  },

  waiting: async (n: number) => {
    for (let i = 0; i < n; i++) await DBOS.runStep(async () => ({ order: 1, note: "60 bytes or so" }), { name: "step" });
    await DBOS.setEvent("waits", true);
    return DBOS.recv<number>("go", 600);
  },

  sleeper: async (until: number) => {
    await DBOS.sleep(Math.max(0, until - (await DBOS.now())));
    return 1;
  },

  aged: async (n: number) => {
    const at = [10, 10 + n / 10, n - n / 10, n].map(Math.floor);
    const times: number[] = [];
    for (let i = 1; i <= n; i++) {
      const now = await DBOS.runStep(async () => performance.timeOrigin + performance.now(), { name: "step" });
      if (at.includes(i)) times.push(now);
    }
    return times;
  },
};
for (const name of Object.keys(workflows)) workflows[name] = DBOS.registerWorkflow(workflows[name], { name });

const role = process.argv[2];
DBOS.setConfig({
  name: "race",
  systemDatabaseUrl: process.env.RACE_DATABASE,
  systemDatabasePoolSize: 40,
  executorID: role,
  applicationVersion: "race",
  logLevel: "error",
  // The process that starts workflows leaves the queue to the other one.
  listenQueues: role === "remote" ? ["race"] : ["none"],
});
await DBOS.launch();
await DBOS.registerQueue("race", { minPollingIntervalMs: 10, onConflict: "always_update" });

/** Milliseconds from a signal to the result of a workflow that waits for it. */
async function signalled(): Promise<number> {
  const handle = await DBOS.startWorkflow(workflows.waiting)(0);
  await DBOS.getEvent(handle.workflowID, "waits", 60);
  await pause(5);
  const begin = performance.now();
  await DBOS.send(handle.workflowID, 1, "go");
  await handle.getResult();
  return performance.now() - begin;
}

await answer({
  // It is called as the function that it is: nothing is quicker in DBOS.
  runs: (question: Load & { workflow: string; input: unknown }) => {
    const run = workflows[question.workflow];
    return drive(question, () => run(question.input));
  },
  result: async ({ workflow, input }: { workflow: string; input: unknown }) => {
    const run = workflows[workflow];
    return { result: await run(input) };
  },
  sleepers: async ({ input, runsMax }: { input: number; runsMax: number }) => {
    const handles: { getResult(): Promise<unknown> }[] = [];
    const start = async () => void handles.push(await DBOS.startWorkflow(workflows.sleeper)(input));
    const { seconds } = await drive({ atOnce: 64, windowMs: 0, runsMin: runsMax, runsMax }, start);
    if (Date.now() > input) throw new Error(`${runsMax} starts took ${seconds} s`);
    await Promise.all(handles.map((handle) => handle.getResult()));
    return { startingSeconds: seconds, lateSeconds: (Date.now() - input) / 1000 };
  },
  park: async ({ runsMax }: { runsMax: number }) => {
    const start = async () => {
      const { workflowID } = await DBOS.startWorkflow(workflows.waiting)(0);
      await DBOS.getEvent(workflowID, "waits", 60);
    };
    await drive({ atOnce: 64, windowMs: 0, runsMin: runsMax, runsMax }, start);
    return {};
  },
  signals: async ({ windowMs }: Load) => {
    const latenciesMs: number[] = [];
    for (const begin = performance.now(); performance.now() - begin < windowMs; ) latenciesMs.push(await signalled());
    return { latenciesMs };
  },
});
