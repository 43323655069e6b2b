{{/* What a worker runs with. */}}

{{/* GPUs of one worker: what the engine will look for, so that a pod never gets another number. */}}
{{- define "llm-gateway.gpus" -}}
{{- $engine := .Values.workers.tensorrtllm -}}
{{- with ($engine.config | default dict).tensorParallel -}}
{{- int . -}}
{{- else -}}
{{- regexFind "[0-9]+$" $engine.preset -}}
{{- end -}}
{{- end -}}

{{- define "llm-gateway.workerSettings" -}}
{{- $workers := .Values.workers -}}
{{- $gpu := eq $workers.engine "tensorrtllm" -}}
{{- include "llm-gateway.settings" (dict "prefix" "WORKER_" "values" $workers.config) }}
WORKER_ENGINE: {{ ternary "tensorrt-llm" "simulator" $gpu }}
WORKER_CONTEXT_TOKENS: {{ include "llm-gateway.text" .Values.gateway.config.contextTokens | quote }}
WORKER_DRAIN_FILE: /run/worker/drain
WORKER_DRAIN_MS: {{ mul (int $workers.drain.seconds) 1000 | quote }}
{{- if $gpu }}
{{- include "llm-gateway.settings" (dict "prefix" "WORKER_TRTLLM_" "values" $workers.tensorrtllm.config) }}
WORKER_TRTLLM_PRESET: {{ $workers.tensorrtllm.preset }}
WORKER_TRTLLM_MODEL: {{ list "/models" $workers.weights.subPath | compact | join "/" }}
# What compiles and caches at run time does so where it may write, and asks who it is.
HOME: /scratch
USER: worker
TMPDIR: /scratch
TRITON_CACHE_DIR: /scratch/triton
TORCHINDUCTOR_CACHE_DIR: /scratch/inductor
HF_HUB_OFFLINE: "1"
{{- else }}
{{- include "llm-gateway.settings" (dict "prefix" "WORKER_SIMULATOR_" "values" $workers.simulator.config) }}
{{- end }}
{{- end -}}

{{/* Flags of tritonserver; the image's entrypoint adds where its model and its backend are. */}}
{{- define "llm-gateway.tritonFlags" -}}
{{- $workers := .Values.workers -}}
{{- $gpu := eq $workers.engine "tensorrtllm" -}}
- --model-control-mode=none
- --disable-auto-complete-config
- --strict-readiness=true
- --exit-timeout-secs={{ include "llm-gateway.tritonExitSeconds" . }}
- --grpc-address=0.0.0.0
- --grpc-port=8001
- --http-address=0.0.0.0
- --http-port=8000
- --metrics-address=0.0.0.0
- --metrics-port=8002
- --allow-gpu-metrics={{ $gpu }}
# Gateways ping every 20 s; by default Triton answers that with GOAWAY.
- --grpc-keepalive-time=20000
- --grpc-keepalive-timeout=5000
- --grpc-http2-min-recv-ping-interval-without-data=5000
- --grpc-http2-max-ping-strikes=0
{{- if $gpu }}
# The model loads the weights in the stub's initialisation.
- --backend-config=python,stub-timeout-seconds={{ int $workers.tensorrtllm.startupSeconds }}
{{- end }}
{{- if and .Values.traces.url .Values.traces.ofWorkers }}
# Only of requests that come with a trace: gateways decide which those are.
- --trace-config=mode=opentelemetry
- --trace-config=rate=0
- --trace-config=level=TIMESTAMPS
- --trace-config=opentelemetry,url={{ .Values.traces.url }}
- --trace-config=opentelemetry,resource=service.name=llm-gateway-worker
{{- end }}
{{- if $workers.tls.enabled }}
- --grpc-use-ssl=true
- --grpc-use-ssl-mutual=true
- --grpc-server-cert=/etc/worker/tls/tls.crt
- --grpc-server-key=/etc/worker/tls/tls.key
- --grpc-root-cert=/etc/worker/tls/ca.crt
{{- end }}
{{- end -}}
