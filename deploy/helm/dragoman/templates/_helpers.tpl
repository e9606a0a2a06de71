{{- define "dragoman.name" -}}
{{- .Chart.Name -}}
{{- end }}

{{- define "dragoman.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "dragoman.selector" -}}
app.kubernetes.io/name: {{ include "dragoman.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dragoman.labels" -}}
{{ include "dragoman.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "dragoman.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "dragoman.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "dragoman.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{/* The secret's name; empty if there is none. */}}
{{- define "dragoman.secret" -}}
{{- if .Values.secrets.existingSecret -}}
{{ .Values.secrets.existingSecret }}
{{- else if or .Values.secrets.externalSecret.enabled .Values.secrets.values -}}
{{ include "dragoman.fullname" . }}
{{- end -}}
{{- end }}

{{- define "dragoman.configMap" -}}
{{- if .Values.existingConfigMap -}}
{{ .Values.existingConfigMap }}
{{- else if .Values.config -}}
{{ include "dragoman.fullname" . }}
{{- end -}}
{{- end }}

{{- define "dragoman.postgresql" -}}
{{- if eq .Values.database.kind "postgresql" }}true{{ end -}}
{{- end }}

{{/* Stops the installation where values contradict each other. */}}
{{- define "dragoman.check" -}}
{{- $several := or (gt (int .Values.replicaCount) 1) .Values.autoscaling.enabled -}}
{{- if and $several (not (include "dragoman.postgresql" .)) -}}
{{- fail "SQLite allows one pod: set database.kind to postgresql, or replicaCount to 1 and autoscaling.enabled to false" -}}
{{- end -}}
{{- $sources := list .Values.secrets.existingSecret .Values.secrets.externalSecret.enabled .Values.secrets.values | compact -}}
{{- if gt (len $sources) 1 -}}
{{- fail "set one of secrets.existingSecret, secrets.externalSecret.enabled and secrets.values" -}}
{{- end -}}
{{- if and (include "dragoman.postgresql" .) (not $sources) -}}
{{- fail "PostgreSQL needs a secret with DATABASE_URL, DRAGOMAN_SECRET_KEY and DRAGOMAN_ENCRYPTION_KEYS: set secrets.existingSecret, secrets.externalSecret or secrets.values" -}}
{{- end -}}
{{- if and (include "dragoman.postgresql" .) .Values.secrets.values -}}
{{- range list "DATABASE_URL" "DRAGOMAN_SECRET_KEY" "DRAGOMAN_ENCRYPTION_KEYS" -}}
{{- if not (hasKey $.Values.secrets.values .) -}}
{{- fail (printf "secrets.values has no %s, which PostgreSQL needs" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not (include "dragoman.secret" .)) -}}
{{- fail "serviceMonitor needs a secret with DRAGOMAN_ADMIN_KEY" -}}
{{- end -}}
{{- end }}

{{- define "dragoman.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "dragoman.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Settings of every container. */}}
{{- define "dragoman.environment" -}}
{{- $name := include "dragoman.fullname" . -}}
{{- $inside := list $name (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) (printf "%s.%s.svc.cluster.local" $name .Release.Namespace) "localhost" "127.0.0.1" -}}
- {name: DRAGOMAN_DATA_DIR, value: /data}
- {name: DRAGOMAN_PORT, value: "4000"}
- {name: DRAGOMAN_DRAIN_WAIT, value: "5"}
- name: DRAGOMAN_ALLOWED_HOSTS
  value: {{ concat .Values.ingress.hosts .Values.allowedHosts $inside | uniq | join "," | quote }}
{{- with .Values.trustedProxies }}
- name: DRAGOMAN_TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
{{- range $key, $value := .Values.environment }}
- name: {{ $key }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
