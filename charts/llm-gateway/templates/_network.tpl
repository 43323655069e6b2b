{{/* Pieces of network policies. */}}

{{- define "llm-gateway.pods" -}}
podSelector:
  matchLabels:
    {{- include "llm-gateway.selector" . | nindent 4 }}
{{- end -}}

{{- define "llm-gateway.dns" -}}
- ports:
    {{- range .Values.networkPolicy.dnsPorts | default (list 53) }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{- define "llm-gateway.egressToRedis" -}}
{{- if eq .Values.redis.mode "internal" -}}
- to:
    - {{- include "llm-gateway.pods" (list . "redis") | nindent 6 }}
  ports: [{port: redis}]
{{- else }}
{{- /* Sentinels and clusters name servers that the values do not: the ports of all are Redis's by custom. */ -}}
{{- $ports := list 6379 -}}
{{- range .Values.redis.external.hosts -}}
{{- with regexFind ":[0-9]+$" . }}{{ $ports = append $ports (trimPrefix ":" . | int) }}{{ end -}}
{{- end -}}
{{- if eq .Values.redis.external.topology "sentinel" }}{{ $ports = append $ports 26379 }}{{ end -}}
- ports:
    {{- range uniq $ports }}
    - {port: {{ . }}}
    {{- end }}
{{- end }}
{{- end -}}

{{/* Of a URL: its port. */}}
{{- define "llm-gateway.urlPort" -}}
{{- $host := (urlParse .).host -}}
{{- if regexMatch ":[0-9]+$" $host }}{{ regexFind "[0-9]+$" $host }}{{ else }}{{ ternary 443 80 (hasPrefix "https:" .) }}{{ end -}}
{{- end -}}

{{/* The collector's port, wherever it is; nothing without traces. */}}
{{- define "llm-gateway.egressToCollector" -}}
{{- with .Values.traces.url -}}
- ports: [{port: {{ include "llm-gateway.urlPort" . }}}]
{{- end -}}
{{- end -}}

{{/* Identity providers, wherever they are; 443 is where discovery documents lead. */}}
{{- define "llm-gateway.egressToProviders" -}}
{{- $ports := list -}}
{{- range .Values.gateway.oidc -}}
{{- range compact (list .issuer .jwks_url) }}{{ $ports = append $ports (include "llm-gateway.urlPort" .) }}{{ end -}}
{{- $ports = append $ports "443" -}}
{{- end -}}
{{- with uniq $ports -}}
- ports:
    {{- range . }}
    - {port: {{ . }}}
    {{- end }}
{{- end -}}
{{- end -}}
