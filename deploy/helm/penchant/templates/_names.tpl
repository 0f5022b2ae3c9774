{{- define "penchant.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "penchant.labels" -}}
app.kubernetes.io/name: penchant
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Of what a selector finds; never changes. */}}
{{- define "penchant.selector" -}}
app.kubernetes.io/name: penchant
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "penchant.image" -}}
{{- $suffix := ternary "-gpu" "" (and (eq .component "worker") (gt (int .root.Values.worker.gpu.count) 0)) -}}
{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default (printf "%s%s" .root.Chart.AppVersion $suffix) }}
{{- end }}

{{- define "penchant.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "penchant.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* What every process is told. */}}
{{- define "penchant.environment" -}}
- { name: PENCHANT_CONFIG, value: /etc/penchant/penchant.toml }
- { name: PENCHANT_BOOTSTRAP_SERVERS, value: {{ .Values.kafka.bootstrapServers | quote }} }
- { name: PENCHANT_SECURITY_PROTOCOL, value: {{ .Values.kafka.securityProtocol | quote }} }
- { name: PENCHANT_GROUP_ID, value: {{ include "penchant.name" . | quote }} }
{{- end }}

{{- define "penchant.environmentFrom" -}}
{{- with .Values.kafka.secretName }}
envFrom:
  - secretRef: { name: {{ . | quote }} }
{{- end }}
{{- end }}

{{- define "penchant.mounts" -}}
- { name: config, mountPath: /etc/penchant, readOnly: true }
- { name: tmp, mountPath: /tmp }
{{- if .Values.kafka.tlsSecretName }}
- { name: tls, mountPath: /etc/penchant/tls, readOnly: true }
{{- end }}
{{- end }}

{{- define "penchant.volumes" -}}
- name: config
  projected:
    sources:
      - configMap: { name: {{ include "penchant.name" . }} }
- { name: tmp, emptyDir: { sizeLimit: 256Mi } }
{{- if .Values.kafka.tlsSecretName }}
- { name: tls, secret: { secretName: {{ .Values.kafka.tlsSecretName | quote }}, defaultMode: 288 } }
{{- end }}
{{- end }}

{{- define "penchant.apart" -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (include "penchant.selector" . | fromYaml)) -}}
podAntiAffinity:
{{- if eq .mode "required" }}
  requiredDuringSchedulingIgnoredDuringExecution:
    - {{ toYaml $term | nindent 6 | trim }}
{{- else }}
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        {{- toYaml $term | nindent 8 }}
{{- end }}
{{- end }}

{{- define "penchant.claim" -}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata: { name: data }
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .className }}
    storageClassName: {{ . | quote }}
    {{- end }}
    resources: { requests: { storage: {{ .size | quote }} } }
{{- end }}
