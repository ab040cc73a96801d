{{/* What the schema cannot say, or not in a sentence that helps. */}}
{{- define "everloop.checks" -}}
{{- $redis := .Values.redis }}
{{- $url := $redis.external.url }}
{{- $secret := $redis.external.existingSecret.name }}
{{- if $redis.bundled }}
  {{- if or $url $secret }}
    {{- fail "redis.external is set and redis.bundled is true: set redis.bundled=false to use the external Redis, or leave redis.external empty" }}
  {{- end }}
{{- else }}
  {{- if and $url $secret }}
    {{- fail "redis.external.url and redis.external.existingSecret.name are both set: keep one of them" }}
  {{- end }}
  {{- if not (or $url $secret) }}
    {{- fail "redis.bundled is false and no other Redis is named: set redis.external.url=redis://HOST:6379/0, or redis.external.existingSecret.name to a Secret with the address" }}
  {{- end }}
  {{- if and $url (not (hasPrefix "redis://" $url)) }}
    {{- fail (printf "redis.external.url is %q: write redis://HOST:PORT/DATABASE; TLS, Sentinel and Cluster are not there yet" $url) }}
  {{- end }}
  {{- if contains "@" $url }}
    {{- fail "redis.external.url has a password in it, which everybody who may read the Deployment would see: put the whole address into a Secret and set redis.external.existingSecret.name" }}
  {{- end }}
{{- end }}
{{- if and .Values.crds.install .Values.crds.hook (semverCompare "<4.0.0-0" .Capabilities.HelmVersion.Version) }}
  {{- fail "Helm 3 cannot upgrade definitions of resources that are hooks: use Helm 4, or set crds.hook=false" }}
{{- end }}
{{- if has .Release.Namespace (list "kube-system" "kube-public" "kube-node-lease") }}
  {{- fail (printf "the namespace %s belongs to Kubernetes: install with --namespace everloop --create-namespace" .Release.Namespace) }}
{{- end }}
{{- end }}
