{{/* What the schema cannot say, or not in a sentence that helps. */}}
{{- define "everloop.checks" -}}
{{- $redis := .Values.redis }}
{{- $url := $redis.external.url }}
{{- $secret := $redis.external.existingSecret.name }}
{{- $password := $redis.external.password.secretName }}
{{- $sentinelPassword := $redis.external.sentinelPassword.secretName }}
{{- $certificates := or $redis.external.tls.ca.secretName $redis.external.tls.client.secretName }}
{{- if $redis.bundled }}
  {{- if or $url $secret $password $sentinelPassword $certificates }}
    {{- fail "redis.external is set and redis.bundled is true: set redis.bundled=false to use the external Redis, or leave redis.external empty" }}
  {{- end }}
  {{- if eq .Values.durability "failover" }}
    {{- fail "durability is failover, and the bundled Redis has none: set durability=strict" }}
  {{- end }}
{{- else }}
  {{- if and $url $secret }}
    {{- fail "redis.external.url and redis.external.existingSecret.name are both set: keep one of them" }}
  {{- end }}
  {{- if not (or $url $secret) }}
    {{- fail "redis.bundled is false and no other Redis is named: set redis.external.url=redis://HOST:6379/0, or redis.external.existingSecret.name to a Secret with the address" }}
  {{- end }}
  {{- if regexMatch "^[^@]*://[^@]*:.*@" $url }}
    {{- fail "redis.external.url has a password in it, which everybody who may read the Deployment would see: put it into a Secret and set redis.external.password.secretName, or put the whole address into one and set redis.external.existingSecret.name" }}
  {{- end }}
  {{- if and $url (not (regexMatch "^rediss?([+](sentinel|cluster))?://" $url)) }}
    {{- fail (printf "redis.external.url is %q: write redis://HOST:PORT/DATABASE, redis+sentinel://HOST:PORT/NAME or redis+cluster://HOST:PORT, with rediss in place of redis for TLS" $url) }}
  {{- end }}
  {{- if and (contains "@" $url) (not $password) }}
    {{- fail "redis.external.url has a user and no password: set redis.external.password.secretName" }}
  {{- end }}
  {{- if and $url $certificates (not (hasPrefix "rediss" $url)) }}
    {{- fail "redis.external.tls is set and redis.external.url is without TLS: write rediss in place of redis" }}
  {{- end }}
  {{- if and $url $sentinelPassword (not (contains "+sentinel://" $url)) }}
    {{- fail "redis.external.sentinelPassword is set and redis.external.url names no Sentinel: write redis+sentinel://HOST:PORT/NAME" }}
  {{- end }}
  {{- if and (regexMatch "^rediss?[+]" $url) (eq .Values.durability "strict") }}
    {{- fail "durability is strict, and a Redis that takes over may lack the last that was acknowledged: set durability=failover, or name one server" }}
  {{- end }}
{{- end }}
{{- if and .Values.crds.install .Values.crds.hook (semverCompare "<4.0.0-0" .Capabilities.HelmVersion.Version) }}
  {{- fail "Helm 3 cannot upgrade definitions of resources that are hooks: use Helm 4, or set crds.hook=false" }}
{{- end }}
{{- if has .Release.Namespace (list "kube-system" "kube-public" "kube-node-lease") }}
  {{- fail (printf "the namespace %s belongs to Kubernetes: install with --namespace everloop --create-namespace" .Release.Namespace) }}
{{- end }}
{{- end }}
