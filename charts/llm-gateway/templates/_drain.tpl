{{/* How long pods take to end, added up: preStop counts within terminationGracePeriodSeconds. */}}

{{/* Sleep, tell load balancers, let streams end, settle what was cut. */}}
{{- define "llm-gateway.gatewayGraceSeconds" -}}
{{- $drain := .Values.gateway.drain -}}
{{- add (int $drain.preStopSeconds) (int $drain.delaySeconds) (int $drain.timeoutSeconds) (int $drain.settleSeconds) -}}
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
