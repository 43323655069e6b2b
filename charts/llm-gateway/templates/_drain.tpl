{{/* How long pods take to end, added up: preStop counts within terminationGracePeriodSeconds. */}}

{{/* The longest that a request takes: its body arrives, it waits (as tier flex, eight times), it is answered; 5 s are the
gateway's own margin. */}}
{{- define "llm-gateway.longestRequestSeconds" -}}
{{- $config := .Values.gateway.config -}}
{{- addf (float64 $config.bodyTimeoutSeconds) (mulf (float64 $config.queueTimeoutSeconds) 8) (float64 $config.maxDurationSeconds) 5 | ceil | int -}}
{{- end -}}

{{- define "llm-gateway.drainTimeoutSeconds" -}}
{{- .Values.gateway.drain.timeoutSeconds | default (include "llm-gateway.longestRequestSeconds" .) | int -}}
{{- end -}}

{{/* For Prometheus to hear of streams that were cut; 5 s over its interval. Where nobody looks, or nothing is cut, it is none. */}}
{{- define "llm-gateway.drainScrapeSeconds" -}}
{{- if and .Values.metrics.podMonitor.enabled .Values.gateway.drain.allowTruncation -}}
{{- $interval := .Values.metrics.podMonitor.interval -}}
{{- mul (regexFind "^[0-9]+" $interval | int) (ternary 60 1 (hasSuffix "m" $interval)) | add 5 -}}
{{- else -}}0{{- end -}}
{{- end -}}

{{/* Sleep, tell load balancers, let streams end, settle what was cut, tell of it. */}}
{{- define "llm-gateway.gatewayGraceSeconds" -}}
{{- $drain := .Values.gateway.drain -}}
{{- add (int $drain.preStopSeconds) (int $drain.delaySeconds) (int (include "llm-gateway.drainTimeoutSeconds" .)) (int $drain.settleSeconds) (int (include "llm-gateway.drainScrapeSeconds" .)) -}}
{{- end -}}

{{/* Of Triton, after preStop: nothing runs then, so it only has to stop. */}}
{{- define "llm-gateway.tritonExitSeconds" -}}20{{- end -}}

{{/* preStop waits a little longer than the model, which ends what still runs by itself. */}}
{{- define "llm-gateway.workerPreStopSeconds" -}}
{{- add (int .Values.workers.drain.seconds) 10 -}}
{{- end -}}

{{- define "llm-gateway.workerGraceSeconds" -}}
{{- add (int (include "llm-gateway.workerPreStopSeconds" .)) (int (include "llm-gateway.tritonExitSeconds" .)) 15 -}}
{{- end -}}
