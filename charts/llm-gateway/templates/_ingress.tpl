{{/* What a controller has to be told to let streams through. An answer that is not streamed sends nothing until it is whole, so
its read time-out is the longest answer. */}}
{{- define "llm-gateway.ingressAnnotations" -}}
{{- $silent := add (int (include "llm-gateway.longestRequestSeconds" .)) 60 -}}
{{- if eq .Values.ingress.controller "nginx" }}
# Buffered, a stream comes only when it is over.
nginx.ingress.kubernetes.io/proxy-buffering: "off"
nginx.ingress.kubernetes.io/proxy-http-version: "1.1"
nginx.ingress.kubernetes.io/proxy-read-timeout: {{ $silent | quote }}
nginx.ingress.kubernetes.io/proxy-send-timeout: {{ $silent | quote }}
# Twice what the gateway takes: what is a little too large gets its own answer, in JSON, and not nginx's page.
nginx.ingress.kubernetes.io/proxy-body-size: {{ mul 2 (int64 .Values.gateway.config.maxBodyBytes) | toString | quote }}
{{- if .Values.gateway.tls.enabled }}
nginx.ingress.kubernetes.io/backend-protocol: HTTPS
{{- end }}
{{- else if eq .Values.ingress.controller "haproxy" }}
haproxy.org/timeout-server: {{ printf "%ds" $silent | quote }}
{{- if .Values.gateway.tls.enabled }}
haproxy.org/server-ssl: "true"
{{- end }}
{{- else if eq .Values.ingress.controller "alb" }}
alb.ingress.kubernetes.io/target-type: ip
alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds={{ min $silent 4000 }}
# Answered without a key, on the port that load balancers reach anyway.
alb.ingress.kubernetes.io/healthcheck-path: /openapi.json
{{- if .Values.gateway.tls.enabled }}
alb.ingress.kubernetes.io/backend-protocol: HTTPS
alb.ingress.kubernetes.io/healthcheck-protocol: HTTPS
{{- end }}
{{- end }}
{{- end -}}
