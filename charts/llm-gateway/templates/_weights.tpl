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


{{- define "llm-gateway.weightsPod" -}}
metadata:
  labels:
    {{- include "llm-gateway.podLabels" (list . "weights" dict) | nindent 4 }}
spec:
  {{- include "llm-gateway.podSpec" . | nindent 2 }}
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
