{{/* The image of all roles. */}}
{{- define "everloop.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What pods of a component are found by. There is one installation in a cluster, so its name is not in it. */}}
{{- define "everloop.selector" -}}
app.kubernetes.io/name: everloop
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Of every object: (dict "root" $ "component" "queue"). */}}
{{- define "everloop.labels" -}}
{{ include "everloop.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: everloop
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Of pods. No version is in it, so that Redis restarts only for what concerns it. */}}
{{- define "everloop.podLabels" -}}
{{ include "everloop.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: everloop
{{- end }}

{{/* Name, namespace and labels of an object: (dict "root" $ "component" "queue" "name" "everloop-queue"). */}}
{{- define "everloop.metadata" -}}
name: {{ .name }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- include "everloop.labels" . | nindent 2 }}
{{- end }}

{{/* A pod as the standard `restricted` asks. Without service links, whose variables begin with ours. */}}
{{- define "everloop.podSecurity" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "everloop.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Where pods of a component run: (dict "component" "queue" "values" .Values.queue). */}}
{{- define "everloop.placement" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "everloop.selector" . | nindent 8 }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "everloop.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where pods of all namespaces find the queue service. */}}
{{- define "everloop.server" -}}
http://everloop-queue.{{ .Release.Namespace }}:7400
{{- end }}

{{/* Logs of every role. */}}
{{- define "everloop.logEnv" -}}
- name: EVERLOOP_LOG_JSON
  value: "true"
- name: EVERLOOP_LOG
  value: {{ .Values.logLevel }}
{{- end }}

{{/* The password of the bundled Redis. */}}
{{- define "everloop.passwordEnv" -}}
- name: EVERLOOP_REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.password.secretName }}
      key: {{ .Values.redis.password.key }}
{{- end }}

{{/* The namespaces that are watched, this one among them, with commas between; empty: all. */}}
{{- define "everloop.watched" -}}
{{- with .Values.watchNamespaces }}{{ append . $.Release.Namespace | uniq | sortAlpha | join "," }}{{ end }}
{{- end }}

{{/* The rules of one name in files/operator-rbac.yaml, which the operator's own tests run with: (dict "root" $ "of" "everloop-operator"). */}}
{{- define "everloop.operatorRules" -}}
{{- range splitList "\n---" (.root.Files.Get "files/operator-rbac.yaml") }}
{{- $document := fromYaml . }}
{{- if eq $.of $document.metadata.name }}
rules:
  {{- toYaml $document.rules | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
