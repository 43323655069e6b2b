{{/* Names, labels and images. */}}

{{/* 40 characters at most: components and cert-manager append to it, and 63 is the end. */}}
{{- define "llm-gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the chart itself says of its objects: selectors go by some, Helm by others. */}}
{{- define "llm-gateway.ownLabels" -}}
app.kubernetes.io/name app.kubernetes.io/instance app.kubernetes.io/component app.kubernetes.io/part-of app.kubernetes.io/managed-by app.kubernetes.io/version helm.sh/chart
{{- end -}}

{{- define "llm-gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Of (list $ component): what selects its pods. Immutable for ever: nothing of the user's, nothing of a version. */}}
{{- define "llm-gateway.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ include "llm-gateway.name" $ | quote }}
app.kubernetes.io/instance: {{ $.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Of (list $ component): labels of an object. */}}
{{- define "llm-gateway.labels" -}}
{{- $ := index . 0 -}}
{{ include "llm-gateway.selector" . }}
app.kubernetes.io/part-of: llm-gateway
app.kubernetes.io/managed-by: {{ $.Release.Service }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- with $.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of (list $ component podLabels): labels of a pod. No version: a new chart should restart only what it changes. */}}
{{- define "llm-gateway.podLabels" -}}
{{- $ := index . 0 -}}
{{- $more := merge (deepCopy (index . 2 | default dict)) ($.Values.commonLabels | default dict) -}}
{{ include "llm-gateway.selector" (list $ (index . 1)) }}
app.kubernetes.io/part-of: llm-gateway
{{- with $more }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of (list $ name component [annotations]): the metadata of an object. */}}
{{- define "llm-gateway.metadata" -}}
{{- $ := index . 0 -}}
name: {{ index . 1 | quote }}
namespace: {{ $.Release.Namespace | quote }}
labels:
  {{- include "llm-gateway.labels" (list $ (index . 2)) | nindent 2 }}
{{- $annotations := dict -}}
{{- if gt (len .) 3 }}{{ $annotations = deepCopy (index . 3 | default dict) }}{{ end -}}
{{- with merge $annotations ($.Values.commonAnnotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Of (list $ image): its name. */}}
{{- define "llm-gateway.image" -}}
{{- $ := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := list ($.Values.global | default dict).imageRegistry $image.registry | compact | first | default "" -}}
{{- $name := list $registry $image.repository | compact | join "/" -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($image.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "llm-gateway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "llm-gateway.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* What every pod begins with. No token of the Kubernetes API: nothing asks it. No service links: they would set variables
such as GATEWAY_PORT if there is a Service named `gateway`, and be taken for settings. */}}
{{- define "llm-gateway.podSpec" -}}
serviceAccountName: {{ include "llm-gateway.serviceAccountName" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with concat (.Values.imagePullSecrets | default list) ((.Values.global | default dict).imagePullSecrets | default list) }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}

{{/* Of (list $ component values): where its pods go. */}}
{{- define "llm-gateway.placement" -}}
{{- $ := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index . 2 -}}
{{- $spread := $values.topologySpread | default "none" -}}
{{- if ne $spread "none" }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ ternary "DoNotSchedule" "ScheduleAnyway" (eq $spread "hard") }}
    labelSelector:
      matchLabels:
        {{- include "llm-gateway.selector" (list $ $component) | nindent 8 }}
    {{- if eq $component "gateway" }}
    # Of a rollout only the new pods count: the old ones are about to go.
    matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Of (list $ component values): where a Job or a test goes: to nodes that its component's pods are for, but near to none of them. */}}
{{- define "llm-gateway.jobPlacement" -}}
{{- $values := index . 2 -}}
{{- include "llm-gateway.placement" (list (index . 0) (index . 1) (dict "nodeSelector" $values.nodeSelector "tolerations" $values.tolerations "affinity" (pick ($values.affinity | default dict) "nodeAffinity"))) -}}
{{- end -}}

{{/* A number as people write it: Helm reads all of them as floats, and would print 1.6777216e+07. */}}
{{- define "llm-gateway.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) }}{{ printf "%.0f" . }}{{ else }}{{ toString . }}{{ end -}}
{{- else if kindIs "slice" . -}}
{{- join "," . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* A quantity of Kubernetes, in bytes: 4Gi, 4096Mi and 4294967296 are the same. */}}
{{- define "llm-gateway.bytes" -}}
{{- $text := include "llm-gateway.text" . -}}
{{- $units := dict "m" 0.001 "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexFind "[A-Za-z]*$" $text) | float64) | int64 -}}
{{- end -}}

{{/* Of (dict prefix values): a line for each value that is set, `maxBodyBytes` as GATEWAY_MAX_BODY_BYTES. */}}
{{- define "llm-gateway.settings" -}}
{{- $prefix := .prefix -}}
{{- range $key, $value := .values }}
{{- if not (or (kindIs "invalid" $value) (and (kindIs "string" $value) (eq $value ""))) }}
{{ $prefix }}{{ snakecase $key | upper | replace "_SECONDS" "_S" }}: {{ include "llm-gateway.text" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "llm-gateway.servicePort" -}}
{{- .Values.gateway.service.port | default (ternary 443 80 .Values.gateway.tls.enabled) -}}
{{- end -}}
