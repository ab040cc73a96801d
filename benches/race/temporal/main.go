// The race on Temporal. Roles: `both` runs workflows and activities and answers the race's questions, in one process because eager
// starts need that; `slow` runs those of the workflow that loses its worker; `remote` runs activities only.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/durationpb"
)

type load struct {
	AtOnce, RunsMin, RunsMax int
	WindowMs                 float64
}

type input struct {
	N       int             `json:"n"`
	Ms      int             `json:"ms"`
	Payload json.RawMessage `json:"payload"`
}

func step(_ context.Context, payload json.RawMessage) (json.RawMessage, error) { return payload, nil }

func clock(context.Context) (float64, error) { return float64(time.Now().UnixMicro()) / 1000, nil }

// It says that it lives, so that its end is seen before its time-out.
func pause(ctx context.Context, ms int) (int, error) {
	for begin := time.Now(); time.Since(begin) < time.Duration(ms)*time.Millisecond; time.Sleep(50 * time.Millisecond) {
		activity.RecordHeartbeat(ctx)
	}
	return ms, nil
}

func options(ctx workflow.Context, o workflow.ActivityOptions) workflow.Context {
	if o.StartToCloseTimeout == 0 {
		o.StartToCloseTimeout = time.Minute
	}
	return workflow.WithActivityOptions(ctx, o)
}

func steps(ctx workflow.Context, n int, payload json.RawMessage) error {
	ctx = options(ctx, workflow.ActivityOptions{})
	for i := 0; i < n; i++ {
		if err := workflow.ExecuteActivity(ctx, step, payload).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

var workflows = map[string]any{
	"one": func(ctx workflow.Context, payload json.RawMessage) (result json.RawMessage, err error) {
		ctx = options(ctx, workflow.ActivityOptions{})
		err = workflow.ExecuteActivity(ctx, step, payload).Get(ctx, &result)
		return
	},
	"steps": func(ctx workflow.Context, in input) (int, error) { return in.N, steps(ctx, in.N, in.Payload) },
	"slow": func(ctx workflow.Context, in input) (int, error) {
		ctx = options(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second, HeartbeatTimeout: time.Second})
		for i := 0; i < in.N; i++ {
			if err := workflow.ExecuteActivity(ctx, pause, in.Ms).Get(ctx, nil); err != nil {
				return 0, err
			}
		}
		return in.N, nil
	},
	"fanout": func(ctx workflow.Context, in input) (int, error) {
		ctx = options(ctx, workflow.ActivityOptions{TaskQueue: "remote", DisableEagerExecution: true})
		futures := make([]workflow.Future, in.N)
		for i := range futures {
			futures[i] = workflow.ExecuteActivity(ctx, step, in.Payload)
		}
		for _, future := range futures {
			if err := future.Get(ctx, nil); err != nil {
				return 0, err
			}
		}
		return in.N, nil
	},
	"waiting": func(ctx workflow.Context, n int) (value int, err error) {
		waits := false
		err = workflow.SetQueryHandler(ctx, "waits", func() (bool, error) { return waits, nil })
		if err == nil {
			err = steps(ctx, n, json.RawMessage(`{"order":1,"note":"60 bytes or so"}`))
		}
		waits = true
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, &value)
		return value, err
	},
	"aged": func(ctx workflow.Context, n int) (times []float64, err error) {
		ctx = options(ctx, workflow.ActivityOptions{})
		at := map[int]bool{10: true, 10 + n/10: true, n - n/10: true, n: true}
		for i := 1; i <= n; i++ {
			var now float64
			if err = workflow.ExecuteActivity(ctx, clock).Get(ctx, &now); err != nil {
				return
			}
			if at[i] {
				times = append(times, now)
			}
		}
		return
	},
	"sleeper": func(ctx workflow.Context, until float64) (int, error) {
		return 1, workflow.Sleep(ctx, time.UnixMilli(int64(until)).Sub(workflow.Now(ctx)))
	},
}

type race struct {
	client client.Client
	tuned  bool
}

func (r race) start(name string, in any) (client.WorkflowRun, error) {
	queue := "race"
	if name == "slow" {
		queue = "slow"
	}
	return r.client.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{TaskQueue: queue, EnableEagerStart: r.tuned}, name, in)
}

func (r race) run(name string, in any) error {
	run, err := r.start(name, in)
	if err != nil {
		return err
	}
	return run.Get(context.Background(), nil)
}

// Makes runs so often and so many at once as the load says.
func drive(l load, run func() error) (any, error) {
	var mutex sync.Mutex
	var wait sync.WaitGroup
	var failure error
	begin, begun, latencies := time.Now(), 0, []float64{}
	more := func() bool {
		mutex.Lock()
		defer mutex.Unlock()
		if failure != nil || begun >= l.RunsMax || (begun >= l.RunsMin && ms(begin) >= l.WindowMs) {
			return false
		}
		begun++
		return true
	}
	for range l.AtOnce {
		wait.Go(func() {
			for more() {
				started := time.Now()
				err := run()
				mutex.Lock()
				if err != nil {
					failure = err
				}
				latencies = append(latencies, ms(started))
				mutex.Unlock()
			}
		})
	}
	wait.Wait()
	return map[string]any{"seconds": ms(begin) / 1000, "latenciesMs": latencies}, failure
}

func ms(since time.Time) float64 { return float64(time.Since(since).Microseconds()) / 1000 }

// From a signal to the result of a workflow that waits for it after n steps; cold: nothing of it is in the worker's memory.
func (r race) signalled(n int, cold bool) (float64, error) {
	ctx := context.Background()
	run, err := r.start("waiting", n)
	if err != nil {
		return 0, err
	}
	if err := r.waits(run, n); err != nil {
		return 0, err
	}
	if cold {
		worker.PurgeStickyWorkflowCache()
	}
	begin := time.Now()
	if err := r.client.SignalWorkflow(ctx, run.GetID(), run.GetRunID(), "go", 1); err != nil {
		return 0, err
	}
	err = run.Get(ctx, nil)
	return ms(begin), err
}

// Until a workflow waits for its signal after n steps.
func (r race) waits(run client.WorkflowRun, n int) error {
	for begin := time.Now(); time.Since(begin) < 5*time.Minute; {
		waits := false
		value, err := r.client.QueryWorkflow(context.Background(), run.GetID(), run.GetRunID(), "waits")
		if err == nil && value.Get(&waits) == nil && waits {
			return nil
		}
		time.Sleep(10 * time.Millisecond * time.Duration(math.Max(1, float64(n)/100)))
	}
	return fmt.Errorf("%d steps do not end", n)
}

func (r race) sleepers(n int, until json.RawMessage) (any, error) {
	var at float64
	if err := json.Unmarshal(until, &at); err != nil {
		return nil, err
	}
	moment := time.UnixMilli(int64(at))
	var mutex sync.Mutex
	runs := []client.WorkflowRun{}
	begin := time.Now()
	_, err := drive(load{AtOnce: 64, RunsMin: n, RunsMax: n}, func() error {
		run, err := r.start("sleeper", at)
		mutex.Lock()
		defer mutex.Unlock()
		runs = append(runs, run)
		return err
	})
	starting := ms(begin) / 1000
	if err == nil && time.Now().After(moment) {
		err = fmt.Errorf("%d starts took %.1f s", n, starting)
	}
	for _, run := range runs {
		if err == nil {
			err = run.Get(context.Background(), nil)
		}
	}
	return map[string]any{"startingSeconds": starting, "lateSeconds": time.Since(moment).Seconds()}, err
}

func (r race) answer(line []byte) (any, error) {
	var q struct {
		load
		Ask, Workflow string
		Input         json.RawMessage
		Steps         int
	}
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	switch q.Ask {
	case "runs":
		return drive(q.load, func() error { return r.run(q.Workflow, q.Input) })
	case "result":
		var result any
		run, err := r.start(q.Workflow, q.Input)
		if err == nil {
			err = run.Get(context.Background(), &result)
		}
		return map[string]any{"result": result}, err
	case "sleepers":
		return r.sleepers(q.RunsMax, q.Input)
	case "park":
		return drive(load{AtOnce: 64, RunsMin: q.RunsMax, RunsMax: q.RunsMax}, func() error {
			run, err := r.start("waiting", 0)
			if err == nil {
				err = r.waits(run, 0)
			}
			return err
		})
	case "signals":
		latencies := []float64{}
		for begin := time.Now(); ms(begin) < q.WindowMs; {
			sample, err := r.signalled(0, false)
			if err != nil {
				return nil, err
			}
			latencies = append(latencies, sample)
		}
		return map[string]any{"latenciesMs": latencies}, nil
	case "cold":
		sample, err := r.signalled(q.Steps, true)
		return map[string]any{"ms": sample}, err
	}
	return nil, fmt.Errorf("an unknown question: %s", line)
}

// The namespace, as soon as the server takes it.
func (r race) namespace() error {
	ctx := context.Background()
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		_, err := r.client.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
			Namespace: "default", WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour)})
		if _, exists := err.(*serviceerror.NamespaceAlreadyExists); err == nil || exists {
			break
		}
		if time.Since(begin) > 50*time.Second {
			return err
		}
	}
	// It is known everywhere some seconds later.
	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		_, err := r.client.QueryWorkflow(ctx, "none", "", "none")
		if _, known := err.(*serviceerror.NotFound); known {
			return nil
		}
		if time.Since(begin) > 50*time.Second {
			return err
		}
	}
}

func main() {
	address := flag.String("address", "", "of the frontend")
	tuned := flag.Bool("tuned", false, "with the worker's best settings, in place of the SDK's defaults")
	role := flag.String("role", "both", "both, slow or remote")
	flag.Parse()
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	logger := log.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	c, err := client.NewLazyClient(client.Options{HostPort: *address, Logger: logger})
	check(err)
	r := race{c, *tuned}
	check(r.namespace())

	o := worker.Options{}
	if *tuned {
		o.MaxConcurrentWorkflowTaskPollers, o.MaxConcurrentActivityTaskPollers = 32, 32
		o.StickyScheduleToStartTimeout = time.Second
	}
	queue := map[string]string{"both": "race", "slow": "slow", "remote": "remote"}[*role]
	o.DisableWorkflowWorker = *role == "remote"
	w := worker.New(c, queue, o)
	if *role != "remote" {
		for name, function := range workflows {
			w.RegisterWorkflowWithOptions(function, workflow.RegisterOptions{Name: name})
		}
	}
	w.RegisterActivity(step)
	w.RegisterActivity(clock)
	w.RegisterActivity(pause)
	check(w.Start())

	out := json.NewEncoder(os.Stdout)
	check(out.Encode(map[string]any{"ready": true}))
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		answer, err := r.answer(lines.Bytes())
		if err != nil {
			answer = map[string]any{"error": err.Error()}
		}
		check(out.Encode(answer))
	}
}
