package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// cluster runs a cluster with one node until it is told to end: `cluster FOLDER COREDNS IMAGE...`. Everything of it, containers too,
// lives in namespaces of its own (processes, network, mounts): nothing of it reaches the network of the machine, two clusters do not
// meet, and the end of its first process is the end of all of them.
//
// In the folder, for those outside: `kubeconfig`; `containerd.sock`, to bring images; `dial.sock`, which connects to an address
// inside (relay.go); `logs/`; `ready`, once everything runs.
func cluster(args []string) {
	if len(args) < 2 {
		fail("cluster FOLDER COREDNS IMAGE...")
	}
	if os.Getuid() != 0 {
		fail("a node needs root, since it makes namespaces and containers; or EVERLOOP_TEST_KUBECONFIG names a cluster")
	}
	folder, err := filepath.Abs(args[0])
	check(err)
	// A socket's path has 107 bytes at most.
	if len(folder) > 80 {
		fail("too long a path for sockets: " + folder)
	}
	check(os.MkdirAll(filepath.Join(folder, "logs"), 0o755))
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	check(configure(folder, outside.Addr().String()))

	// The thread that starts the inside must stay: its end would be the signal for the inside's.
	runtime.LockOSThread()
	inside := exec.Command("/proc/self/exe", append([]string{"inside", folder}, args[1:]...)...)
	inside.Stderr = os.Stderr
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	said, err := inside.StdoutPipe()
	check(err)
	check(inside.Start())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		check(inside.Process.Kill())
	}()
	go accept(outside, func(outer net.Conn) {
		inner, err := dialInside(folder, apiAddress)
		if err != nil {
			outer.Close()
			return
		}
		join(outer, inner)
	})
	// The inside says one line when it is ready, and nothing else until it ends.
	line, _ := bufio.NewReader(said).ReadString('\n')
	if line != "" {
		check(os.WriteFile(filepath.Join(folder, "ready"), nil, 0o644))
		fmt.Print(line)
	}
	_, _ = io.Copy(io.Discard, said)
	err = inside.Wait()
	removeCgroups(folder)
	if err != nil && line == "" {
		fail("the cluster did not start")
	}
}

// removeCgroups takes away what containers leave when they are killed with everything around them: empty cgroups of their names.
func removeCgroups(folder string) {
	containers, _ := filepath.Glob(filepath.Join(folder, "containerd/state/io.containerd.runtime.v2.task/k8s.io/*"))
	for _, container := range containers {
		// One hierarchy for each controller, or one for all.
		for _, hierarchy := range []string{"/sys/fs/cgroup/*/k8s.io/", "/sys/fs/cgroup/k8s.io/"} {
			cgroups, _ := filepath.Glob(hierarchy + filepath.Base(container))
			for _, cgroup := range cgroups {
				_ = syscall.Rmdir(cgroup)
			}
		}
	}
}

// inside is the first process within the namespaces: it makes the network, starts everything in order, says so, and ends, and all
// others with it, when one of them ends.
func inside(args []string) {
	folder, coredns, images := args[0], args[1], args[2:]
	check(mounts(folder))
	check(network())
	listener, err := net.Listen("unix", filepath.Join(folder, "dial.sock"))
	check(err)
	go accept(listener, relay)

	node := &node{folder: folder, ended: make(chan string, 16)}
	node.startControlPlane()
	node.start("containerd", "containerd", "--config", node.path("containerd.toml"))
	node.until("containerd answers", func() error { return node.try("ctr", "--address", node.path("containerd.sock"), "version") })
	for _, image := range images {
		node.until("images are imported", func() error {
			return node.try("ctr", "--address", node.path("containerd.sock"), "--namespace", "k8s.io", "images", "import", image)
		})
	}
	node.startNode(coredns)
	fmt.Println("ready: KUBECONFIG=" + node.path("kubeconfig"))
	fmt.Fprintln(os.Stderr, "kube: "+<-node.ended)
	os.Exit(1)
}

// mounts gives us folders of our own where programs have theirs in fixed places.
func mounts(folder string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := syscall.Mount("run", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for _, place := range []string{"/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers"} {
		ours := filepath.Join(folder, "places", strings.ReplaceAll(strings.TrimPrefix(place, "/"), "/", "-"))
		for _, made := range []string{place, ours} {
			if err := os.MkdirAll(made, 0o755); err != nil {
				return err
			}
		}
		if err := syscall.Mount(ours, place, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", place, err)
		}
	}
	// The kubelet wants to share what it mounts.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make mounts shared: %w", err)
	}
	return nil
}

// network makes a node's: an address on a bridge that leads nowhere, and a route over it, since addresses of services need some route.
func network() error {
	commands := []string{
		"ip link set lo up",
		"ip link add node0 type bridge",
		"ip address add " + nodeAddress + "/24 dev node0",
		"ip link set node0 up",
		"ip route add default dev node0",
	}
	for _, command := range commands {
		words := strings.Fields(command)
		if output, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, output)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return err
	}
	return syscall.Sethostname([]byte(nodeName))
}

// node starts processes and waits for them.
type node struct {
	folder string
	// Who ended, and how.
	ended chan string
}

func (n *node) path(name string) string {
	return filepath.Join(n.folder, name)
}

// start runs a program; its log is logs/NAME.log. It ends with us.
func (n *node) start(name string, program string, args ...string) {
	log, err := os.Create(n.path("logs/" + name + ".log"))
	check(err)
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = log, log
	command.Env = append(os.Environ(), "KUBECONFIG="+n.path("inside.kubeconfig"))
	if err := command.Start(); err != nil {
		fail(name + " does not start: " + err.Error())
	}
	go func() {
		err := command.Wait()
		n.ended <- fmt.Sprintf("%s ended (%v); the end of %s:\n%s", name, err, log.Name(), tail(log.Name()))
	}()
}

// kube starts a part of this program.
func (n *node) kube(name string, args ...string) {
	n.start(name, "/proc/self/exe", append([]string{name}, args...)...)
}

func (n *node) try(program string, args ...string) error {
	command := exec.Command(program, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+n.path("inside.kubeconfig"))
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, output)
	}
	return nil
}

func (n *node) kubectl(args ...string) error {
	return n.try("/proc/self/exe", append([]string{"kubectl"}, args...)...)
}

// until waits, two minutes at most: a machine may be busy with other things.
func (n *node) until(what string, try func() error) {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case ended := <-n.ended:
			fail(ended)
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			fail(fmt.Sprintf("not within two minutes: %s: %v", what, err))
		}
	}
}

// tail is the end of a file.
func tail(file string) string {
	text, _ := os.ReadFile(file)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}
