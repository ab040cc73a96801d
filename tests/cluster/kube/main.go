// Command kube is Kubernetes in one program: etcd, the API server, the controller manager, the scheduler, the kubelet, kube-proxy
// and kubectl, as the tests need them, and what starts all of these as a cluster with a node. The first argument says which.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	if len(os.Args) < 2 {
		fail("say which: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy, kubectl, key or cluster")
	}
	which := os.Args[1]
	// What follows is what the command itself would have been given.
	os.Args = append([]string{which}, os.Args[2:]...)
	switch which {
	case "etcd":
		etcd(os.Args[1:])
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllers.NewControllerManagerCommand()))
	case "kube-scheduler":
		os.Exit(cli.Run(scheduler.NewSchedulerCommand()))
	case "kubelet":
		os.Exit(cli.Run(kubelet.NewKubeletCommand(context.Background())))
	case "kube-proxy":
		os.Exit(cli.Run(proxy.NewProxyCommand()))
	case "kubectl":
		os.Exit(cli.Run(kubectl.NewDefaultKubectlCommand()))
	case "key":
		key(os.Args[1:])
	case "cluster":
		cluster(os.Args[1:])
	case "inside":
		inside(os.Args[1:])
	default:
		fail("unknown: " + which)
	}
}

// etcd serves clients and itself at two addresses, with its data in a folder, and without fsync: what it holds is a test's.
func etcd(args []string) {
	if len(args) != 3 {
		fail("etcd FOLDER CLIENT_URL PEER_URL")
	}
	config := embed.NewConfig()
	config.Dir, config.UnsafeNoFsync, config.LogLevel = args[0], true, "error"
	clients, peers := address(args[1]), address(args[2])
	config.ListenClientUrls, config.AdvertiseClientUrls = clients, clients
	config.ListenPeerUrls, config.AdvertisePeerUrls = peers, peers
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		fail(err.Error())
	}
	defer server.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	select {
	case <-stop:
	case err := <-server.Err():
		fail(err.Error())
	}
}

// key writes a private key, with which the control plane signs the tokens of service accounts.
func key(args []string) {
	if len(args) != 1 {
		fail("key FILE")
	}
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fail(err.Error())
	}
	text, err := x509.MarshalECPrivateKey(pair)
	if err != nil {
		fail(err.Error())
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text})
	if err := os.WriteFile(args[0], block, 0o600); err != nil {
		fail(err.Error())
	}
}

func address(text string) []url.URL {
	parsed, err := url.Parse(text)
	if err != nil {
		fail(err.Error())
	}
	return []url.URL{*parsed}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, "kube: "+message)
	os.Exit(1)
}
