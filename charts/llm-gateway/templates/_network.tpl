{{/* Pieces of network policies. */}}

{{- define "llm-gateway.pods" -}}
podSelector:
  matchLabels:
    {{- include "llm-gateway.selector" . | nindent 4 }}
{{- end -}}

{{- define "llm-gateway.dns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
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

{{/* The collector's port, wherever it is; nothing without traces. */}}
{{- define "llm-gateway.egressToCollector" -}}
{{- with .Values.traces.url -}}
{{- $host := (urlParse .).host -}}
{{- $port := ternary 443 80 (hasPrefix "https:" .) -}}
{{- if regexMatch ":[0-9]+$" $host }}{{ $port = regexFind "[0-9]+$" $host | int }}{{ end -}}
- ports: [{port: {{ $port }}}]
{{- end -}}
{{- end -}}
