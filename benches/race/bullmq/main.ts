// The race on BullMQ, a queue without history. Environment: RACE_REDIS, a port. Argument: `client`, which answers the race's
// questions, or `worker`.
import { FlowProducer, Queue, QueueEvents, Worker } from "bullmq";
import { answer, drive, type Load } from "../node/questions.ts";

const connection = { host: "127.0.0.1", port: Number(process.env.RACE_REDIS), maxRetriesPerRequest: null };
const keep = { removeOnComplete: 1000, removeOnFail: 1000 };

if (process.argv[2] === "worker") {
  const workers = ["one", "fanout"].map((name) => new Worker(name, async (job) => job.data, { connection, concurrency: 256 }));
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));
  await answer({});
}

const queue = new Queue("one", { connection, defaultJobOptions: keep });
const events = { one: new QueueEvents("one", { connection }), fanout: new QueueEvents("fanout", { connection }) };
const flows = new FlowProducer({ connection });
await Promise.all([queue.waitUntilReady(), events.one.waitUntilReady(), events.fanout.waitUntilReady()]);

const workflows: Record<string, (input: any) => Promise<unknown>> = {
  one: async (payload) => (await queue.add("one", payload)).waitUntilFinished(events.one),
  // A job with children, which is done when all of them are.
  fanout: async ({ n, payload }) => {
    const children = Array.from({ length: n }, () => ({ name: "child", queueName: "one", data: payload, opts: keep }));
    const flow = await flows.add({ name: "parent", queueName: "fanout", data: {}, children, opts: keep });
    await flow.job.waitUntilFinished(events.fanout);
  },
};

await answer({
  runs: (question: Load & { workflow: string; input: unknown }) => drive(question, () => workflows[question.workflow](question.input)),
});
