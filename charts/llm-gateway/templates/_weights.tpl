{{/* Where the checkpoint lies, and how it gets there. */}}

{{- define "llm-gateway.weightsClaim" -}}
{{- .Values.workers.weights.pvc.existingClaim | default (printf "%s-weights" (include "llm-gateway.fullname" .)) -}}
{{- end -}}

{{- define "llm-gateway.weightsEnv" -}}
{{- $weights := .Values.workers.weights -}}
- {name: WEIGHTS_DIRECTORY, value: {{ list "/models" $weights.subPath | compact | join "/" | quote }}}
- {name: WEIGHTS_REPOSITORY, value: {{ $weights.job.repository | quote }}}
- {name: WEIGHTS_REVISION, value: {{ $weights.job.revision | quote }}}
- {name: WEIGHTS_IGNORE, value: {{ join "," $weights.job.ignorePatterns | quote }}}
{{- end -}}

{{/* Where the Job goes: to workers' nodes. A volume that one node has at a time would be held by the workers that wait for the Job,
so it joins them. */}}
{{- define "llm-gateway.weightsPlacement" -}}
{{- $workers := .Values.workers -}}
{{- $affinity := pick ($workers.affinity | default dict) "nodeAffinity" -}}
{{- if not (or $workers.weights.pvc.existingClaim (has "ReadWriteMany" $workers.weights.pvc.accessModes)) -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (include "llm-gateway.selector" (list . "worker") | fromYaml)) -}}
{{- $_ := set $affinity "podAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) -}}
{{- end -}}
{{- include "llm-gateway.placement" (list . "weights" (dict "nodeSelector" $workers.nodeSelector "tolerations" (append ($workers.tolerations | default list) (include "llm-gateway.gpuTaint" . | fromYaml)) "affinity" $affinity)) -}}
{{- end -}}

{{/* What nodes with GPUs are tainted with, by custom. */}}
{{- define "llm-gateway.gpuTaint" -}}
{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
{{- end -}}

{{- define "llm-gateway.weightsPod" -}}
metadata:
  labels:
    {{- include "llm-gateway.podLabels" (list . "weights" dict) | nindent 4 }}
spec:
  {{- include "llm-gateway.podSpec" . | nindent 2 }}
  {{- with include "llm-gateway.weightsPlacement" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  restartPolicy: OnFailure
  containers:
    - name: fetch
      image: {{ include "llm-gateway.image" (list . .Values.workers.tensorrtllm.image) }}
      imagePullPolicy: {{ .Values.workers.tensorrtllm.image.pullPolicy }}
      command: [python3, /etc/worker/scripts/fetch_weights.py, fetch]
      securityContext:
        {{- toYaml .Values.containerSecurityContext | nindent 8 }}
      env:
        {{- include "llm-gateway.weightsEnv" . | nindent 8 }}
        - {name: HOME, value: /tmp}
        {{- with .Values.workers.weights.job.endpoint }}
        - {name: HF_ENDPOINT, value: {{ . | quote }}}
        {{- end }}
        {{- with .Values.workers.weights.job.existingSecret }}
        - name: HF_TOKEN
          valueFrom:
            secretKeyRef: {name: {{ . | quote }}, key: token}
        {{- end }}
      resources:
        {{- toYaml .Values.workers.weights.job.resources | nindent 8 }}
      volumeMounts:
        - {name: scripts, mountPath: /etc/worker/scripts, readOnly: true}
        - {name: weights, mountPath: /models}
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: scripts
      configMap: {name: {{ include "llm-gateway.fullname" . }}-worker}
    - name: weights
      persistentVolumeClaim: {claimName: {{ include "llm-gateway.weightsClaim" . | quote }}}
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
{{- end -}}
