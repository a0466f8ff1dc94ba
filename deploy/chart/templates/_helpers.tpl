{{/* The name of everything of this release, and its labels. */}}
{{- define "maskloop.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "maskloop.selector" -}}
app.kubernetes.io/name: maskloop
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "maskloop.labels" -}}
{{ include "maskloop.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "maskloop.claim" -}}
{{- .Values.workspace.claim.existing | default (printf "%s-workspace" (include "maskloop.name" .)) -}}
{{- end -}}

{{- define "maskloop.path" -}}
/workspaces/{{ .Values.workspace.name }}
{{- end -}}

{{/* What a pod may do: nothing but run as a user without rights, whose only places to write are volumes. */}}
{{- define "maskloop.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "maskloop.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where processes write: the workspace, HOME and temporary files, and memory that processes share. */}}
{{- define "maskloop.mounts" -}}
- {name: workspace, mountPath: /workspaces}
- {name: tmp, mountPath: /tmp}
- {name: shm, mountPath: /dev/shm}
{{- if .Values.postgresql.caSecret }}
- {name: postgresql-ca, mountPath: /etc/postgresql-ca, readOnly: true}
{{- end }}
{{- end -}}

{{/* Takes a dict of root and shm, the size of the shared memory. */}}
{{- define "maskloop.volumes" -}}
- name: workspace
  persistentVolumeClaim: {claimName: {{ include "maskloop.claim" .root }}}
- name: tmp
  emptyDir: {}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ .shm }}}
{{- with .root.Values.postgresql.caSecret }}
- name: postgresql-ca
  secret: {secretName: {{ . }}}
{{- end }}
{{- end -}}

{{- define "maskloop.env" -}}
- {name: MASKLOOP_WORKSPACE, value: {{ include "maskloop.path" . }}}
{{- with .Values.mlflow.url }}
- {name: MLFLOW_TRACKING_URI, value: {{ . | quote }}}
{{- end }}
{{- with .Values.mlflow.secret }}
- name: MLFLOW_TRACKING_USERNAME
  valueFrom: {secretKeyRef: {name: {{ . }}, key: username}}
- name: MLFLOW_TRACKING_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ . }}, key: password}}
{{- end }}
{{- with .Values.postgresql.host }}
- {name: PGHOST, value: {{ . | quote }}}
- {name: PGPORT, value: {{ $.Values.postgresql.port | quote }}}
- {name: PGSSLMODE, value: {{ $.Values.postgresql.sslMode }}}
{{- if $.Values.postgresql.caSecret }}
- {name: PGSSLROOTCERT, value: /etc/postgresql-ca/ca.crt}
{{- end }}
- name: PGUSER
  valueFrom: {secretKeyRef: {name: {{ $.Values.postgresql.secret }}, key: username}}
- name: PGPASSWORD
  valueFrom: {secretKeyRef: {name: {{ $.Values.postgresql.secret }}, key: password}}
{{- end }}
{{- with .Values.objectStore.secret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ . }}, key: access-key-id}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: secret-access-key}}
{{- end }}
{{- with .Values.objectStore.endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
{{- end -}}

{{/* What the loop and its flows need besides. The service has no business with Prefect. */}}
{{- define "maskloop.prefectEnv" -}}
- {name: PREFECT_HOME, value: /tmp/prefect}
- {name: PREFECT_API_URL, value: {{ .Values.prefect.apiUrl | quote }}}
{{- with .Values.prefect.authSecret }}
- name: PREFECT_API_AUTH_STRING
  valueFrom: {secretKeyRef: {name: {{ . }}, key: auth-string}}
{{- end }}
{{- end -}}

{{/* Takes a dict of resources and gpus. */}}
{{- define "maskloop.resources" -}}
{{- $gpus := int .gpus -}}
requests: {{- toYaml .resources.requests | nindent 2 }}
limits: {{- toYaml .resources.limits | nindent 2 }}
{{- if $gpus }}
  nvidia.com/gpu: {{ $gpus }}
{{- end }}
{{- end -}}

{{/* Takes a group of values: where its pods may run. */}}
{{- define "maskloop.placement" -}}
{{- with .runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "maskloop.pulling" -}}
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - {name: {{ . }}}
{{- end }}
{{- end }}
{{- end -}}

{{- define "maskloop.flowImage" -}}
{{- if .Values.ray.enabled }}{{ .Values.images.trainer }}{{ else }}{{ .Values.images.worker }}{{ end -}}
{{- end -}}

{{/* What values.schema.json cannot compare. */}}
{{- define "maskloop.check" -}}
{{- $v := .Values -}}
{{- $several := or (gt (int $v.service.replicas) 1) (ne $v.autoscaling.mode "none") -}}
{{- range $role := list "service" "worker" "trainer" }}
{{- $image := get $v.images $role }}
{{- if not (regexMatch "(:v?[0-9]+\\.[0-9]+\\.[0-9]+[A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})$" $image) }}
{{- fail (printf "images.%s %s has neither a complete version nor a digest, so replicas could differ; write such as maskloop:0.1.0" $role $image) }}
{{- end }}
{{- end }}
{{- if and (ne $v.autoscaling.mode "none") (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" }}
{{- end }}
{{- if and $v.ray.enabled (gt (int $v.ray.workers.minReplicas) (int $v.ray.workers.maxReplicas)) }}
{{- fail "ray.workers.minReplicas is above ray.workers.maxReplicas" }}
{{- end }}
{{- if and (eq $v.autoscaling.mode "queue") (not $v.autoscaling.prometheusUrl) }}
{{- fail "autoscaling.mode queue asks Prometheus: set autoscaling.prometheusUrl, such as http://prometheus.monitoring:9090" }}
{{- end }}
{{- if and $several (not $v.postgresql.host) }}
{{- fail "several replicas share one database: set postgresql.host and postgresql.secret, and servers.database_url in maskloop.toml" }}
{{- end }}
{{- if and $v.postgresql.host (not $v.postgresql.secret) }}
{{- fail "postgresql.host needs postgresql.secret, the name of a Secret with the keys username and password" }}
{{- end }}
{{- if and $v.postgresql.host (hasPrefix "verify-" $v.postgresql.sslMode) (not $v.postgresql.caSecret) }}
{{- fail "postgresql.sslMode verify-... needs postgresql.caSecret, the name of a Secret whose key ca.crt holds the server's authority" }}
{{- end }}
{{- if and (or $several $v.prefect.enabled $v.ray.enabled) (eq $v.workspace.claim.accessMode "ReadWriteOnce") (not $v.workspace.claim.singleNode) }}
{{- fail "pods on several nodes use the workspace: workspace.claim.accessMode ReadWriteMany, or workspace.claim.singleNode true on a cluster of one node" }}
{{- end }}
{{- if and $v.prefect.enabled (not (hasSuffix "/api" $v.prefect.apiUrl)) }}
{{- fail "prefect.enabled needs prefect.apiUrl, such as http://prefect.prefect:4200/api" }}
{{- end }}
{{- if and $v.monitoring.serviceMonitor.enabled (not $v.monitoring.serviceMonitor.keySecret) }}
{{- fail "monitoring.serviceMonitor.enabled needs monitoring.serviceMonitor.keySecret: a Secret whose key `key` holds what `maskloop keys add prometheus --scope metrics` printed" }}
{{- end }}
{{- end -}}
