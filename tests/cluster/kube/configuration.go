package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// configure writes everything that the parts read into the folder. `outside` is where the API server is reached from outside.
func configure(folder, outside string) error {
	authority, err := certificates(folder)
	if err != nil {
		return err
	}
	fill := strings.NewReplacer("FOLDER", folder, "ADDRESS", nodeAddress, "PODS", podRange)
	files := map[string]string{
		// One user for all parts: what they may do is not what is tested here.
		"tokens.csv":          "admin,admin,admin,\"system:masters\"\n",
		"kubeconfig":          kubeconfig("https://"+outside, authority),
		"inside.kubeconfig":   kubeconfig("https://"+apiAddress, authority),
		"resolv.conf":         "nameserver " + nodeAddress + "\n",
		"Corefile":            fill.Replace(dnsConfiguration),
		"root.zone":           rootZone,
		"containerd.toml":     fill.Replace(containerdConfiguration),
		"kubelet.yaml":        fill.Replace(kubeletConfiguration),
		"cni/bridge.conflist": fill.Replace(podNetwork),
		"volumes.yaml":        volumes(folder),
	}
	if err := os.MkdirAll(filepath.Join(folder, "cni"), 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	key([]string{filepath.Join(folder, "accounts.key")})
	return nil
}

func kubeconfig(server string, authority []byte) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: '%s', certificate-authority-data: %s}}]
users: [{name: admin, user: {token: admin}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
`, server, base64.StdEncoding.EncodeToString(authority))
}

// Names of the cluster, and of nothing else: an empty root zone.
const dnsConfiguration = `cluster.local:53 in-addr.arpa:53 {
  bind ADDRESS
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig FOLDER/inside.kubeconfig
    ttl 1
  }
}
.:53 {
  bind ADDRESS
  file FOLDER/root.zone .
}
`

const rootZone = `. 1 IN SOA . . 1 1 1 1 1
. 1 IN NS .
`

const containerdConfiguration = `version = 2
root = "FOLDER/containerd/root"
state = "FOLDER/containerd/state"
[grpc]
address = "FOLDER/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "FOLDER/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:test"
# Scores below that of the daemon need a capability that a container of a CI does not have.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "FOLDER/cni"
`

const podNetwork = `{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [{
    "type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "PODS"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni"}
  }]
}
`

// Whatever the machine's own state: no eviction, no collection of images, no cgroups for classes of pods (which want rights over the
// machine's). Limits of containers hold. Pods are not resized in place: without cgroups for classes of pods the kubelet of 1.34 dies of a
// nil pointer when a container ends while its pod is compared (doPodResizeAction).
const kubeletConfiguration = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: ADDRESS
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
clusterDNS: [ADDRESS]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://FOLDER/containerd.sock
enforceNodeAllocatable: []
evictionHard: {memory.available: 0%, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}
failSwapOn: false
featureGates: {InPlacePodVerticalScaling: false}
imageGCHighThresholdPercent: 100
readOnlyPort: 0
registerNode: true
resolvConf: FOLDER/resolv.conf
`

// volumes are what claims of the class `standard` are bound to: folders of the node, each for one claim.
func volumes(folder string) string {
	text := `apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
`
	for number := range 32 {
		path := filepath.Join(folder, "volumes", fmt.Sprint(number))
		check(os.MkdirAll(path, 0o755))
		text += fmt.Sprintf(`---
apiVersion: v1
kind: PersistentVolume
metadata: {name: volume-%d}
spec:
  storageClassName: standard
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {path: %s}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%s]}]}]}}
`, number, path, nodeName)
	}
	return text
}
