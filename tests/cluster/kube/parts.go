package main

// The addresses of the node and its cluster, within a network of their own.
const (
	nodeName     = "node"
	nodeAddress  = "192.168.97.1"
	apiAddress   = nodeAddress + ":6443"
	podRange     = "10.244.0.0/24"
	serviceRange = "10.96.0.0/16"
	// The first of the range is the API server's.
	apiService = "10.96.0.1"
)

// startControlPlane starts etcd, the API server, the controllers and the scheduler.
func (n *node) startControlPlane() {
	n.kube("etcd", n.path("etcd"), "http://127.0.0.1:2379", "http://127.0.0.1:2380")
	n.kube("kube-apiserver",
		"--advertise-address="+nodeAddress, "--secure-port=6443", "--authorization-mode=Node,RBAC",
		"--etcd-servers=http://127.0.0.1:2379", "--service-cluster-ip-range="+serviceRange,
		"--tls-cert-file="+n.path("api.crt"), "--tls-private-key-file="+n.path("api.key"),
		"--token-auth-file="+n.path("tokens.csv"), "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+n.path("accounts.key"), "--service-account-signing-key-file="+n.path("accounts.key"),
		// For logs and exec: names of nodes are not in the DNS.
		"--kubelet-preferred-address-types=InternalIP")
	n.until("the API server is ready", func() error { return n.kubectl("get", "--raw", "/readyz") })
	kubeconfig := "--kubeconfig=" + n.path("inside.kubeconfig")
	n.kube("kube-controller-manager", kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--service-account-private-key-file="+n.path("accounts.key"), "--root-ca-file="+n.path("ca.crt"))
	n.kube("kube-scheduler", kubeconfig, "--leader-elect=false", "--secure-port=0")
}

// startNode starts the kubelet, the proxy of services and the DNS, and waits until pods can be made.
func (n *node) startNode(coredns string) {
	kubeconfig := "--kubeconfig=" + n.path("inside.kubeconfig")
	n.kube("kubelet", kubeconfig, "--config="+n.path("kubelet.yaml"), "--hostname-override="+nodeName, "--node-ip="+nodeAddress)
	n.kube("kube-proxy", kubeconfig, "--proxy-mode=iptables", "--cluster-cidr="+podRange, "--hostname-override="+nodeName,
		// Settings of the machine's connection tracking are not ours to make.
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0")
	n.start("coredns", coredns, "-conf", n.path("Corefile"))
	n.until("volumes are there", func() error { return n.kubectl("apply", "--server-side", "-f", n.path("volumes.yaml")) })
	n.until("the node is ready", func() error {
		return n.kubectl("wait", "--for=condition=Ready", "node/"+nodeName, "--timeout=10s")
	})
	n.until("pods can be made", func() error { return n.kubectl("get", "serviceaccount", "default") })
}
