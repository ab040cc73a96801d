{{/* Passwords and certificates for an external Redis, as sources of one volume and as variables that name its files. */}}
{{- define "everloop.redisSources" -}}
{{- $external := .Values.redis.external }}
{{- if not .Values.redis.bundled }}
{{- with $external.password }}{{ if .secretName }}
- secret: {name: {{ .secretName }}, items: [{key: {{ .key | quote }}, path: password}]}
{{- end }}{{ end }}
{{- with $external.sentinelPassword }}{{ if .secretName }}
- secret: {name: {{ .secretName }}, items: [{key: {{ .key | quote }}, path: sentinel-password}]}
{{- end }}{{ end }}
{{- with $external.tls.ca }}{{ if .secretName }}
- secret: {name: {{ .secretName }}, items: [{key: {{ .key | quote }}, path: ca.crt}]}
{{- end }}{{ end }}
{{- with $external.tls.client.secretName }}
- secret: {name: {{ . }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
{{- end }}
{{- end }}
{{- end }}

{{- define "everloop.redisEnv" -}}
{{- $external := .Values.redis.external }}
{{- if .Values.redis.bundled }}
{{- include "everloop.passwordEnv" . }}
- name: EVERLOOP_STORE
  value: redis://:$(EVERLOOP_REDIS_PASSWORD)@everloop-redis.{{ .Release.Namespace }}:6379/0
{{- else }}
- name: EVERLOOP_STORE
  {{- if $external.url }}
  value: {{ $external.url | quote }}
  {{- else }}
  valueFrom:
    secretKeyRef:
      name: {{ $external.existingSecret.name }}
      key: {{ $external.existingSecret.key }}
  {{- end }}
{{- if $external.password.secretName }}
- name: EVERLOOP_REDIS_PASSWORD_FILE
  value: /etc/everloop/redis/password
{{- end }}
{{- if $external.sentinelPassword.secretName }}
- name: EVERLOOP_REDIS_SENTINEL_PASSWORD_FILE
  value: /etc/everloop/redis/sentinel-password
{{- end }}
{{- if $external.tls.ca.secretName }}
- name: EVERLOOP_REDIS_CA_FILE
  value: /etc/everloop/redis/ca.crt
{{- end }}
{{- if $external.tls.client.secretName }}
- name: EVERLOOP_REDIS_CERT_FILE
  value: /etc/everloop/redis/tls.crt
- name: EVERLOOP_REDIS_KEY_FILE
  value: /etc/everloop/redis/tls.key
{{- end }}
{{- end }}
{{- end }}
