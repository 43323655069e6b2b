{{/* What is secret, where it lies, and how it is made once and never again. */}}

{{- define "llm-gateway.peppersSecret" -}}
{{- .Values.gateway.keyPeppers.existingSecret | default (printf "%s-key-peppers" (include "llm-gateway.fullname" .)) -}}
{{- end -}}

{{- define "llm-gateway.adminSecret" -}}
{{- .Values.admin.bootstrapKey.existingSecret | default (printf "%s-admin" (include "llm-gateway.fullname" .)) -}}
{{- end -}}

{{- define "llm-gateway.redisSecret" -}}
{{- .Values.redis.internal.existingSecret | default (printf "%s-redis" (include "llm-gateway.fullname" .)) -}}
{{- end -}}

{{/* 32 random bytes, as hex. */}}
{{- define "llm-gateway.randomHex" -}}
{{- randAlphaNum 64 | sha256sum -}}
{{- end -}}

{{/* Of (dict root name key fresh form value component): a Secret that is made once. In an upgrade it has to be there: making it anew
would lock out whoever relies on it. */}}
{{- define "llm-gateway.keptSecret" -}}
{{- $ := .root -}}
{{- $old := lookup "v1" "Secret" $.Release.Namespace .name -}}
{{- $kept := dig "data" .key "" (default dict $old) -}}
{{- if and (not $kept) $.Release.IsUpgrade -}}
{{- fail (printf "\n\nThe Secret %s with the key %s is not to be found, and an upgrade must not make another one: %s. If this Helm cannot look into the cluster (helm template, --dry-run=client), set %s to a Secret of your own, or use --dry-run=server. If it is lost, restore it, or create it with the value that was in use. If there never was one, for it was not needed until now, create one of another name (kubectl -n %s create secret generic NAME --from-literal=%s=%s) and set %s to that name." .name .key .because .value $.Release.Namespace .key .form .value) -}}
{{- end -}}
apiVersion: v1
kind: Secret
metadata:
  {{- include "llm-gateway.metadata" (list $ .name .component (dict "helm.sh/resource-policy" "keep")) | nindent 2 }}
type: Opaque
data:
  {{ .key | quote }}: {{ $kept | default (.fresh | b64enc) }}
{{- end -}}

{{/* Of (list $ suffix tls): the Secret of a certificate. */}}
{{- define "llm-gateway.tlsSecret" -}}
{{- $ := index . 0 -}}
{{- (index . 2).existingSecret | default (printf "%s-%s" (include "llm-gateway.fullname" $) (index . 1)) -}}
{{- end -}}

{{/* Of (dict root name component issuerRef commonName dnsNames usages): a Certificate of cert-manager, into a Secret of its name. */}}
{{- define "llm-gateway.certificate" -}}
{{- $ := .root -}}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  {{- include "llm-gateway.metadata" (list $ .name .component) | nindent 2 }}
spec:
  secretName: {{ .name | quote }}
  issuerRef:
    {{- toYaml .issuerRef | nindent 4 }}
  dnsNames:
    {{- toYaml .dnsNames | nindent 4 }}
  usages:
    {{- toYaml .usages | nindent 4 }}
  privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Always}
{{- end -}}

{{/* Of (list $ service): the names of a Service. */}}
{{- define "llm-gateway.serviceNames" -}}
{{- $ := index . 0 -}}
{{- $service := index . 1 -}}
- {{ $service }}
- {{ $service }}.{{ $.Release.Namespace }}
- {{ $service }}.{{ $.Release.Namespace }}.svc
{{- end -}}
