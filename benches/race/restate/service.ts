// The services of the race on Restate. Arguments: the port, and `first`, `second` (the same on the same port) or `remote`.
import * as http2 from "node:http2";
import * as restate from "@restatedev/restate-sdk";

type Steps = { n: number; payload: unknown };

const race = restate.service({
  name: "race",
  handlers: {
    one: async (ctx: restate.Context, payload: unknown) => ctx.run("step", async () => payload),

    steps: async (ctx: restate.Context, { n, payload }: Steps) => {
      for (let i = 0; i < n; i++) await ctx.run("step", async () => payload);
      return n;
    },

    slow: async (ctx: restate.Context, { n, ms }: { n: number; ms: number }) => {
      for (let i = 0; i < n; i++) await ctx.run("step", () => new Promise((done) => setTimeout(done, ms)));
      return n;
    },

    // A durable call is what Restate has for work in another process.
    fanout: async (ctx: restate.Context, { n, payload }: Steps) => {
      const other = ctx.serviceClient<Remote>({ name: "remote" });
      const results = await restate.RestatePromise.all(Array.from({ length: n }, () => other.step(payload)));
      return results.length;
    },

    // When its steps 10, 10 + n/10, n - n/10 and n were performed, in ms.
    aged: async (ctx: restate.Context, n: number) => {
      const at = [10, 10 + n / 10, n - n / 10, n].map(Math.floor);
      const times: number[] = [];
      for (let i = 1; i <= n; i++) {
        const now = await ctx.run("step", async () => performance.timeOrigin + performance.now());
        if (at.includes(i)) times.push(now);
      }
      return times;
    },
  },
});

// What waits leaves the memory of its worker after that time; the default is a minute.
const soon = { inactivityTimeout: 1000 };
let woken = 0;

const timers = restate.service({
  name: "timers",
  handlers: {
    sleeper: async (ctx: restate.Context, until: number) => {
      await ctx.sleep(Math.max(0, until - (await ctx.date.now())));
      woken++;
    },
    woken: async () => woken,
  },
  options: soon,
});

// A workflow that waits for a signal after n steps.
const waiting = (name: string, options: restate.WorkflowOptions) => restate.workflow({
  name,
  handlers: {
    run: async (ctx: restate.WorkflowContext, n: number) => {
      for (let i = 0; i < n; i++) await ctx.run("step", async () => ({ order: 1, note: "60 bytes or so" }));
      ctx.set("waits", true);
      return await ctx.promise<number>("go");
    },
    go: async (ctx: restate.WorkflowSharedContext, value: number) => {
      await ctx.promise<number>("go").resolve(value);
      return value;
    },
    waits: async (ctx: restate.WorkflowSharedContext) => (await ctx.get<boolean>("waits")) ?? false,
  },
  options,
});

const remote = restate.service({
  name: "remote",
  handlers: { step: async (_: restate.Context, payload: unknown) => payload },
});
type Remote = typeof remote;

const [port, role] = process.argv.slice(2);
const services = role === "remote" ? [remote] : [race, timers, waiting("waiting", {}), waiting("cold", soon)];
// Two workers share a port; the kernel gives the connections of one that died to the other.
http2.createServer(restate.createEndpointHandler({ services })).listen({ host: "127.0.0.1", port: Number(port), reusePort: true });
