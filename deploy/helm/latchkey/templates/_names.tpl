{{- define "latchkey.selector" -}}
app.kubernetes.io/name: latchkey
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "latchkey.labels" -}}
{{ include "latchkey.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "latchkey.image" -}}
{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "latchkey.host" -}}
{{ trimPrefix "https://" .Values.origin }}
{{- end }}

{{/* What the chart decides of latchkey.yaml: the schema of the values refuses to have it said twice. */}}
{{- define "latchkey.yaml" -}}
{{- $ours := dict
  "listen" ":8443"
  "origin" .Values.origin
  "data" "/var/lib/latchkey"
  "proxies" .Values.proxies
  "database" (dict "postgres" (dict "url" (dict "file" "/run/secrets/latchkey/postgres-url")))
  "keys" (dict "master" (list (dict "file" "/run/secrets/latchkey/master.key")))
-}}
{{ toYaml (merge $ours .Values.config) }}
{{- end }}

{{- define "latchkey.container" -}}
image: {{ include "latchkey.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - {name: LATCHKEY_CONFIG, value: /etc/latchkey/latchkey.yaml}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - {name: config, mountPath: /etc/latchkey, readOnly: true}
  - {name: secrets, mountPath: /run/secrets/latchkey, readOnly: true}
  - {name: data, mountPath: /var/lib/latchkey}
  - {name: tmp, mountPath: /tmp}
{{- end }}
