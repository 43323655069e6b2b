{{/* What gateways and gwctl find in their environment. Secrets come from Secrets, the rest from the ConfigMap. */}}

{{/* Where Redis is. Kubernetes puts the password in: $(REDIS_PASSWORD). */}}
{{- define "llm-gateway.redisEnv" -}}
{{- $name := include "llm-gateway.fullname" . -}}
{{- if eq .Values.redis.mode "internal" -}}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "llm-gateway.redisSecret" . | quote }}, key: {{ .Values.redis.internal.passwordKey | quote }}}
- name: REDIS_URL
  value: redis://gateway:$(REDIS_PASSWORD)@{{ $name }}-redis:6379/0
{{- else }}
{{- $redis := .Values.redis.external -}}
{{- if $redis.urlKey -}}
- name: REDIS_URL
  valueFrom:
    secretKeyRef: {name: {{ $redis.existingSecret | quote }}, key: {{ $redis.urlKey | quote }}}
{{- else }}
{{- if $redis.existingSecret -}}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ $redis.existingSecret | quote }}, key: {{ $redis.passwordKey | quote }}}
{{ end -}}
{{- if $redis.sentinelPasswordKey -}}
- name: REDIS_SENTINEL_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ $redis.existingSecret | quote }}, key: {{ $redis.sentinelPasswordKey | quote }}}
{{ end -}}
{{- $scheme := ternary "rediss" "redis" $redis.tls.enabled -}}
{{- if ne $redis.topology "standalone" }}{{ $scheme = printf "%s+%s" $scheme $redis.topology }}{{ end -}}
{{- $user := ternary (printf "%s:$(REDIS_PASSWORD)@" $redis.username) "" (not (empty $redis.existingSecret)) -}}
{{- $path := ternary "" (printf "/%s" (include "llm-gateway.text" $redis.database)) (eq $redis.topology "cluster") -}}
{{- if eq $redis.topology "sentinel" }}{{ $path = printf "/%s%s" $redis.sentinelService $path }}{{ end -}}
{{- $query := ternary "?sentinel_password=$(REDIS_SENTINEL_PASSWORD)" "" (not (empty $redis.sentinelPasswordKey)) -}}
- name: REDIS_URL
  value: {{ printf "%s://%s%s%s%s" $scheme $user (join "," $redis.hosts) $path $query | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What gwctl needs to work without a gateway. */}}
{{- define "llm-gateway.gwctlEnv" -}}
{{ include "llm-gateway.redisEnv" . }}
- name: GATEWAY_KEY_PEPPERS
  valueFrom:
    secretKeyRef: {name: {{ include "llm-gateway.peppersSecret" . | quote }}, key: {{ .Values.gateway.keyPeppers.key | quote }}}
- name: GATEWAY_MODEL
  value: {{ .Values.gateway.config.model | quote }}
{{- with include "llm-gateway.redisCaEnv" . }}
{{ . }}
{{- end }}
{{- end -}}

{{- define "llm-gateway.redisCaEnv" -}}
{{- if and (eq .Values.redis.mode "external") .Values.redis.external.tls.enabled .Values.redis.external.tls.caSecret -}}
- name: GATEWAY_REDIS_CA_FILE
  value: /etc/gateway/redis-ca/{{ .Values.redis.external.tls.caKey }}
{{- end -}}
{{- end -}}

{{- define "llm-gateway.redisCaVolume" -}}
{{- if and (eq .Values.redis.mode "external") .Values.redis.external.tls.enabled .Values.redis.external.tls.caSecret -}}
- name: redis-ca
  secret: {secretName: {{ .Values.redis.external.tls.caSecret | quote }}}
{{- end -}}
{{- end -}}

{{- define "llm-gateway.redisCaMount" -}}
{{- if and (eq .Values.redis.mode "external") .Values.redis.external.tls.enabled .Values.redis.external.tls.caSecret -}}
- {name: redis-ca, mountPath: /etc/gateway/redis-ca, readOnly: true}
{{- end -}}
{{- end -}}

{{/* host:port of the workers, as GATEWAY_WORKERS takes it. */}}
{{- define "llm-gateway.workers" -}}
{{- if eq .Values.workers.engine "external" -}}
{{- join "," .Values.workers.external.endpoints -}}
{{- else -}}
dns:{{ include "llm-gateway.fullname" . }}-worker.{{ .Release.Namespace }}.svc:8001
{{- end -}}
{{- end -}}

{{/* The name that the workers' certificate is issued for. */}}
{{- define "llm-gateway.workerServerName" -}}
{{- if .Values.workers.tls.serverName -}}
{{- .Values.workers.tls.serverName -}}
{{- else if ne .Values.workers.engine "external" -}}
{{- include "llm-gateway.fullname" . }}-worker.{{ .Release.Namespace }}.svc
{{- end -}}
{{- end -}}

{{- define "llm-gateway.gatewayWorkerTlsSecret" -}}
{{- .Values.workers.tls.gatewaySecret | default (printf "%s-gateway-to-worker-tls" (include "llm-gateway.fullname" .)) -}}
{{- end -}}

{{/* Everything that is not secret, as it stands in the ConfigMap. */}}
{{- define "llm-gateway.gatewaySettings" -}}
{{- $tls := .Values.gateway.tls -}}
{{- $admin := .Values.admin -}}
{{- $workers := .Values.workers -}}
{{- include "llm-gateway.settings" (dict "prefix" "GATEWAY_" "values" .Values.gateway.config) }}
GATEWAY_HOST: 0.0.0.0
GATEWAY_PORT: "8080"
GATEWAY_OPS_HOST: 0.0.0.0
GATEWAY_OPS_PORT: "9100"
GATEWAY_WORKERS: {{ include "llm-gateway.workers" . | quote }}
GATEWAY_SPOOL_DIR: /var/spool/gateway
GATEWAY_DENYLIST_FILE: /etc/gateway/denylist/denylist
GATEWAY_DRAIN_DELAY_S: {{ include "llm-gateway.text" .Values.gateway.drain.delaySeconds | quote }}
GATEWAY_DRAIN_TIMEOUT_S: {{ include "llm-gateway.drainTimeoutSeconds" . | quote }}
GATEWAY_DRAIN_SCRAPE_S: {{ include "llm-gateway.drainScrapeSeconds" . | quote }}
{{- if $tls.enabled }}
GATEWAY_TLS_CERTIFICATE_FILE: /etc/gateway/tls/tls.crt
GATEWAY_TLS_KEY_FILE: /etc/gateway/tls/tls.key
{{- end }}
{{- if $admin.enabled }}
GATEWAY_ADMIN_HOST: {{ ternary "0.0.0.0" "127.0.0.1" $admin.tls.enabled }}
GATEWAY_ADMIN_PORT: "9443"
{{- if $admin.tls.enabled }}
GATEWAY_ADMIN_TLS_CERTIFICATE_FILE: /etc/gateway/admin-tls/tls.crt
GATEWAY_ADMIN_TLS_KEY_FILE: /etc/gateway/admin-tls/tls.key
{{- end }}
{{- end }}
{{- if $workers.tls.enabled }}
GATEWAY_WORKER_TLS_CA_FILE: /etc/gateway/worker-tls/ca.crt
{{- if or (ne $workers.engine "external") $workers.tls.clientCertificate }}
GATEWAY_WORKER_TLS_CERTIFICATE_FILE: /etc/gateway/worker-tls/tls.crt
GATEWAY_WORKER_TLS_KEY_FILE: /etc/gateway/worker-tls/tls.key
{{- end }}
{{- with include "llm-gateway.workerServerName" . }}
GATEWAY_WORKER_TLS_SERVER_NAME: {{ . | quote }}
{{- end }}
{{- end }}
{{- if and (eq .Values.redis.mode "external") (ne .Values.redis.external.withoutPassword "refuse") }}
GATEWAY_REDIS_WITHOUT_PASSWORD: {{ .Values.redis.external.withoutPassword }}
{{- end }}
{{- with .Values.traces }}
{{- if .url }}
GATEWAY_TRACES_URL: {{ .url | quote }}
GATEWAY_TRACES_SHARE: {{ .share | quote }}
GATEWAY_TRACES_OF_CLIENTS: {{ .ofClients }}
GATEWAY_TRACES_OF_WORKERS: {{ .ofWorkers | quote }}
{{- end }}
{{- end }}
{{- with .Values.gateway.oidc }}
GATEWAY_OIDC: {{ toJson . | quote }}
{{- end }}
{{- if .Values.gateway.prices }}
GATEWAY_PRICES_FILE: /etc/gateway/prices/prices.yaml
{{- end }}
{{- end -}}
