// A stand-in for the real `stigmer` binary, and for what its agent-runner image runs: the same commands, variables,
// ports, task queues, order of start and ways to fail, around real Temporal workers and a real gRPC server.
//
// It can be made sick from outside: SIGUSR1 ends what the part is there for while the process lives on. The server
// closes its port, the runners end their poll loops.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/grpc"
)

func main() {
	args := os.Args[1:]
	debug := len(args) > 0 && args[0] == "--debug"
	if debug {
		args = args[1:]
	}
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "usage: stigmer [--debug] internal-server|internal-workflow-runner|agent-runner")
		os.Exit(2)
	}
	run := map[string]func() error{
		"internal-server":          server,
		"internal-workflow-runner": workflowRunner,
		"agent-runner":             agentRunner,
	}[args[0]]
	if run == nil {
		fmt.Fprintf(os.Stderr, "unknown command %q\n", args[0])
		os.Exit(2)
	}
	if err := run(); err != nil {
		// The real one has its logger switched off without --debug: it dies without a word.
		if debug || args[0] != "internal-workflow-runner" {
			fmt.Fprintln(os.Stderr, "fatal:", err)
		}
		os.Exit(1)
	}
}

func server() error {
	queues := []string{
		env("TEMPORAL_WORKFLOW_EXECUTION_STIGMER_TASK_QUEUE", "workflow_execution_stigmer"),
		env("TEMPORAL_AGENT_EXECUTION_STIGMER_TASK_QUEUE", "agent_execution_stigmer"),
		env("TEMPORAL_WORKFLOW_VALIDATION_STIGMER_TASK_QUEUE", "workflow_validation_stigmer"),
	}
	var temporal client.Client
	for try := 0; ; try++ {
		var err error
		// Not the name that the runners read.
		if temporal, err = dial(env("TEMPORAL_HOST_PORT", "localhost:7233"), ""); err == nil {
			break
		}
		fmt.Println("WARN Temporal cannot be dialled:", err)
		if try == 2 {
			break
		}
		time.Sleep(time.Duration(try+1) * time.Second)
	}
	if temporal != nil {
		if _, err := poll(temporal, queues); err != nil {
			return err
		}
	}
	child, err := superviseOnItsOwn()
	if err != nil {
		fmt.Println("WARN Failed to start supervisor:", err)
	}
	time.Sleep(2 * time.Second)
	fmt.Println("Stigmer Server started successfully")
	listener, err := net.Listen("tcp", ":"+env("GRPC_PORT", "7234"))
	if err != nil {
		return err
	}
	fmt.Println("Starting gRPC network server")
	grpcServer := grpc.NewServer() // No health service, no reflection.
	go func() { _ = grpcServer.Serve(listener) }()
	untilTold(func() {
		fmt.Println("closing the port, as told")
		grpcServer.Stop()
	})
	fmt.Println("Received shutdown signal")
	grpcServer.GracefulStop()
	if child != nil {
		_ = child.Process.Signal(syscall.SIGTERM)
		_ = child.Wait()
	}
	return nil
}

// What the real server does to its runner, unless it cannot open the runner's log.
func superviseOnItsOwn() (*exec.Cmd, error) {
	folder := env("STIGMER_LOG_DIR", ".")
	log, err := os.OpenFile(filepath.Join(folder, "workflow-runner.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	child := exec.Command(own, "internal-workflow-runner")
	child.Stdout, child.Stderr = log, log
	child.Env = append(os.Environ(), "STIGMER_BACKEND_ENDPOINT=localhost:7234", "STIGMER_API_KEY=dummy-local-key")
	return child, child.Start()
}

func workflowRunner() error {
	for _, name := range []string{"STIGMER_BACKEND_ENDPOINT", "STIGMER_API_KEY"} {
		if os.Getenv(name) == "" {
			return fmt.Errorf("%s is required", name)
		}
	}
	queues := []string{
		env("TEMPORAL_WORKFLOW_EXECUTION_RUNNER_TASK_QUEUE", "workflow_execution_runner"),
		env("TEMPORAL_ZIGFLOW_EXECUTION_TASK_QUEUE", "zigflow_execution"),
		env("TEMPORAL_WORKFLOW_VALIDATION_RUNNER_TASK_QUEUE", "workflow_validation_runner"),
	}
	// Once: who starts it before Temporal is there sees it exit.
	temporal, err := dial(env("TEMPORAL_SERVICE_ADDRESS", "localhost:7233"), "")
	if err != nil {
		return err
	}
	return pollUntilTold(temporal, queues)
}

func agentRunner() error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	// As the Python SDK names itself.
	identity := fmt.Sprintf("%d@%s", os.Getpid(), host)
	temporal, err := dial(env("TEMPORAL_SERVICE_ADDRESS", "localhost:7233"), identity)
	if err != nil {
		return err
	}
	return pollUntilTold(temporal, []string{env("TEMPORAL_AGENT_EXECUTION_RUNNER_TASK_QUEUE", "agent_execution_runner")})
}

func pollUntilTold(temporal client.Client, queues []string) error {
	workers, err := poll(temporal, queues)
	if err != nil {
		return err
	}
	fmt.Println("Worker ready, polling for tasks")
	stop := func() {
		for _, worker := range workers {
			worker.Stop()
		}
	}
	stopped := false
	untilTold(func() {
		fmt.Println("ending the poll loops, as told")
		stop()
		stopped = true
	})
	if !stopped {
		stop()
	}
	temporal.Close()
	return nil
}

func poll(temporal client.Client, queues []string) ([]worker.Worker, error) {
	var workers []worker.Worker
	for _, queue := range queues {
		worker := worker.New(temporal, queue, worker.Options{})
		worker.RegisterWorkflowWithOptions(echo, workflow.RegisterOptions{Name: "echo"})
		worker.RegisterActivityWithOptions(say, activity.RegisterOptions{Name: "say"})
		if err := worker.Start(); err != nil {
			return nil, err
		}
		fmt.Println("Started Worker TaskQueue", queue)
		workers = append(workers, worker)
	}
	return workers, nil
}

func echo(ctx workflow.Context, words string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	var said string
	err := workflow.ExecuteActivity(ctx, "say", words).Get(ctx, &said)
	return said, err
}

func say(_ context.Context, words string) (string, error) {
	return words, nil
}

func dial(address, identity string) (client.Client, error) {
	return client.Dial(client.Options{
		HostPort:  address,
		Namespace: env("TEMPORAL_NAMESPACE", "default"),
		Identity:  identity,
		Logger:    quiet{},
	})
}

// Waits for SIGTERM or SIGINT; SIGUSR1 makes the process sick and leaves it alive.
func untilTold(sicken func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1)
	sick := false
	for told := range signals {
		if told != syscall.SIGUSR1 {
			return
		}
		if !sick {
			sicken()
		}
		sick = true
	}
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// The SDK's own words, without those that repeat.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(msg string, words ...any) {
	fmt.Fprintln(os.Stderr, append([]any{"WARN", msg}, words...)...)
}
func (quiet) Error(msg string, words ...any) {
	fmt.Fprintln(os.Stderr, append([]any{"ERROR", msg}, words...)...)
}

