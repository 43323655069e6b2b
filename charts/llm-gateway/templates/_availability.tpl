{{/* Pieces of budgets and autoscalers. */}}

{{- define "llm-gateway.scalingBehavior" -}}
# Each pod that goes has streams to finish: one at a time, and not for a short lull.
scaleDown:
  stabilizationWindowSeconds: {{ .scaleDown.stabilizationSeconds }}
  policies:
    - {type: Pods, value: 1, periodSeconds: {{ .scaleDown.periodSeconds }}}
{{- end -}}

{{- define "llm-gateway.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "llm-gateway.metadata" (list .root .name .component) | nindent 2 }}
spec:
  maxUnavailable: {{ .budget.maxUnavailable }}
  # A pod that is not ready holds up no drain.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "llm-gateway.selector" (list .root .component) | nindent 6 }}
{{- end -}}
