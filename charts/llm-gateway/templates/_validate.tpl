{{/* What the schema cannot see: values that do not go together. Each sentence says what to do. */}}

{{- define "llm-gateway.validate" -}}
{{- $found := list -}}
{{- $gateway := .Values.gateway -}}
{{- $config := $gateway.config -}}
{{- $workers := .Values.workers -}}
{{- $redis := .Values.redis -}}

{{- /* Names and labels. */ -}}
{{- $name := include "llm-gateway.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- $found = append $found (printf "The names of all objects would begin with %s, which Kubernetes does not take for Services: a letter goes first, then letters, digits and dashes. Set fullnameOverride." $name) -}}
{{- end -}}
{{- $monitoring := .Values.metrics -}}
{{- range $value, $labels := dict "commonLabels" .Values.commonLabels "gateway.podLabels" $gateway.podLabels "workers.podLabels" $workers.podLabels "metrics.podMonitor.labels" $monitoring.podMonitor.labels "metrics.prometheusRule.labels" $monitoring.prometheusRule.labels "metrics.dashboards.labels" $monitoring.dashboards.labels -}}
{{- range $label, $_ := $labels -}}
{{- if has $label (include "llm-gateway.ownLabels" $ | splitList " ") -}}
{{- $found = append $found (printf "%s must not set %s: the chart sets it, and its objects are found by it. Use a label of your own." $value $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Secrets. */ -}}
{{- if not .Values.secrets.autoGenerate -}}
{{- if not $gateway.keyPeppers.existingSecret -}}
{{- $found = append $found "gateway.keyPeppers.existingSecret is needed with secrets.autoGenerate=false: a Secret whose key key-peppers is 1:<hex>, of `openssl rand -hex 32`." -}}
{{- end -}}
{{- if and .Values.admin.enabled (not .Values.admin.bootstrapKey.existingSecret) -}}
{{- $found = append $found "admin.bootstrapKey.existingSecret is needed with secrets.autoGenerate=false: a Secret whose key admin-key is the output of `openssl rand -hex 32`; or set admin.enabled=false." -}}
{{- end -}}
{{- if and (eq $redis.mode "internal") (not $redis.internal.existingSecret) -}}
{{- $found = append $found "redis.internal.existingSecret is needed with secrets.autoGenerate=false: a Secret whose key password is the output of `openssl rand -hex 32`." -}}
{{- end -}}
{{- end -}}

{{- /* Redis. */ -}}
{{- if eq $redis.mode "external" -}}
{{- $external := $redis.external -}}
{{- if and $external.urlKey (not $external.existingSecret) -}}
{{- $found = append $found "redis.external.urlKey needs redis.external.existingSecret: the Secret that holds it." -}}
{{- end -}}
{{- if and (not $external.urlKey) (not $external.hosts) -}}
{{- $found = append $found "redis.mode=external needs redis.external.hosts, such as [redis.example:6379], or urlKey and existingSecret." -}}
{{- end -}}
{{- if and (not $external.urlKey) (eq $external.topology "standalone") (gt (len ($external.hosts | default list)) 1) -}}
{{- $found = append $found "redis.external.hosts has several for one server: set redis.external.topology to sentinel or cluster." -}}
{{- end -}}
{{- if and (not $external.urlKey) (not $external.existingSecret) (eq $external.withoutPassword "refuse") -}}
{{- $found = append $found "redis.external.existingSecret is needed: gateways refuse a Redis without a password, for whoever reaches it could write himself keys. Where nobody else does, set redis.external.withoutPassword=allow." -}}
{{- end -}}
{{- if and (not $external.urlKey) (not $external.existingSecret) $external.username -}}
{{- $found = append $found "redis.external.username needs redis.external.existingSecret: without a password gateways would be the default user." -}}
{{- end -}}
{{- if and $external.tls.caSecret (not $external.tls.enabled) -}}
{{- $found = append $found "redis.external.tls.caSecret needs redis.external.tls.enabled=true: keys and bills would pass in clear." -}}
{{- end -}}
{{- if and (not $external.urlKey) (eq $external.topology "sentinel") (not $external.sentinelService) -}}
{{- $found = append $found "redis.external.sentinelService is needed with topology sentinel: the name of the service that the sentinels watch." -}}
{{- end -}}
{{- if and $external.sentinelPasswordKey (or $external.urlKey (not $external.existingSecret) (ne $external.topology "sentinel")) -}}
{{- $found = append $found "redis.external.sentinelPasswordKey is for topology sentinel, with redis.external.existingSecret and without urlKey." -}}
{{- end -}}
{{- if and (eq $external.topology "cluster") (ne (int $external.database) 0) -}}
{{- $found = append $found "redis.external.database must be 0 with topology cluster: a cluster has no others." -}}
{{- end -}}
{{- if and (eq $external.topology "cluster") (gt (int $config.redisReplicas) 0) -}}
{{- $found = append $found "gateway.config.redisReplicas must be 0 with a cluster." -}}
{{- end -}}
{{- else -}}
{{- if gt (int $config.redisReplicas) 0 -}}
{{- $found = append $found "gateway.config.redisReplicas must be 0 with redis.mode=internal, which has none: revocations would never be answered." -}}
{{- end -}}
{{- if not (or $redis.internal.image.tag $redis.internal.image.digest) -}}
{{- $found = append $found "redis.internal.image needs a tag or a digest: it is not of this chart's version." -}}
{{- end -}}
{{- with (($redis.internal.resources | default dict).limits | default dict).memory -}}
{{- $most := $redis.internal.maxMemory | trimSuffix "b" | replace "k" "Ki" | replace "m" "Mi" | replace "g" "Gi" -}}
{{- if lt (include "llm-gateway.bytes" . | int64) (include "llm-gateway.bytes" $most | int64 | mul 2) -}}
{{- $found = append $found (printf "redis.internal.resources.limits.memory (%s) must be twice redis.internal.maxMemory (%s) or more: while it rewrites its file it is there twice, and would be killed." (toString .) $redis.internal.maxMemory) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $found = concat $found (include "llm-gateway.validateStore" . | fromYamlArray) -}}

{{- /* How pods end. */ -}}
{{- $timeout := include "llm-gateway.drainTimeoutSeconds" . | int -}}
{{- $longest := include "llm-gateway.longestRequestSeconds" . | int -}}
{{- if and (lt $timeout $longest) (not $gateway.drain.allowTruncation) -}}
{{- $found = append $found (printf "gateway.drain.timeoutSeconds (%d) is shorter than the longest request (%d s): rollouts would cut streams. Leave it null, lower gateway.config.maxDurationSeconds, or accept it with gateway.drain.allowTruncation=true." $timeout $longest) -}}
{{- end -}}

{{- /* Settings that the gateway refuses as well, after the rollout has begun. */ -}}
{{- if lt (int64 $config.maxBufferedBytes) (mul (int64 $config.maxBodyBytes) 4) -}}
{{- $found = append $found (printf "gateway.config.maxBufferedBytes must be four times maxBodyBytes or more, %d: a project has a quarter of it." (mul (int64 $config.maxBodyBytes) 4)) -}}
{{- end -}}
{{- if or (gt (int64 $config.defaultMaxOutputTokens) (int64 $config.maxOutputTokens)) (gt (int64 $config.maxOutputTokens) (int64 $config.contextTokens)) -}}
{{- $found = append $found "gateway.config.defaultMaxOutputTokens must not exceed maxOutputTokens, nor that contextTokens." -}}
{{- end -}}
{{- if lt (float64 $config.leaseSeconds) (mulf (float64 $config.renewIntervalSeconds) 3) -}}
{{- $found = append $found "gateway.config.leaseSeconds must be three times renewIntervalSeconds or more: one slow renewal must not end it." -}}
{{- end -}}
{{- $set := concat (include "llm-gateway.gatewaySettings" . | fromYaml | keys) (list "REDIS_URL" "REDIS_PASSWORD" "REDIS_SENTINEL_PASSWORD" "GATEWAY_KEY_PEPPERS" "GATEWAY_ADMIN_KEY" "GATEWAY_REDIS_CA_FILE") -}}
{{- range $gateway.extraEnv -}}
{{- if has .name $set -}}
{{- $found = append $found (printf "gateway.extraEnv must not set %s: the chart sets it from a value of its own." .name) -}}
{{- end -}}
{{- end -}}

{{- with (($gateway.resources | default dict).limits | default dict).memory -}}
{{- $least := add (int64 $config.maxBufferedBytes) 209715200 -}}
{{- if lt (include "llm-gateway.bytes" . | int64) $least -}}
{{- $found = append $found (printf "gateway.resources.limits.memory (%s) is less than gateway.config.maxBufferedBytes and the gateway itself, %d bytes: large bodies would get it killed, and all its streams with it." (toString .) $least) -}}
{{- end -}}
{{- end -}}

{{- /* Traces. */ -}}
{{- if regexMatch "^https?://[^/]*@" (.Values.traces.url | default "") -}}
{{- $found = append $found "traces.url must hold no password, for it stands in a ConfigMap: set OTEL_EXPORTER_OTLP_HEADERS with gateway.extraEnv, from a Secret." -}}
{{- end -}}

{{- /* Workers. */ -}}
{{- if eq $workers.engine "external" -}}
{{- if not $workers.external.endpoints -}}
{{- $found = append $found "workers.engine=external needs workers.external.endpoints, such as [\"dns:workers.inference.svc:8001\"]." -}}
{{- end -}}
{{- if and $workers.tls.enabled (not $workers.tls.gatewaySecret) (not $workers.tls.certManager.enabled) -}}
{{- $found = append $found "workers.tls.gatewaySecret is needed for external workers: a Secret with ca.crt, and with tls.crt and tls.key unless workers.tls.clientCertificate=false." -}}
{{- end -}}
{{- if and $workers.tls.enabled $workers.tls.certManager.enabled -}}
{{- $found = append $found "workers.tls.certManager is for workers of this chart: external ones have certificates already. Set workers.tls.gatewaySecret." -}}
{{- end -}}
{{- else -}}
{{- if ne $config.model "gpt-oss-120b" -}}
{{- $found = append $found "gateway.config.model must be gpt-oss-120b: workers of this chart serve no other. Give tenants other names with gateway.config.modelAliases." -}}
{{- end -}}
{{- if and $workers.tls.enabled (not $workers.tls.certManager.enabled) (not (and $workers.tls.existingSecret $workers.tls.gatewaySecret)) -}}
{{- $found = append $found "workers.tls.enabled needs workers.tls.existingSecret and workers.tls.gatewaySecret, or workers.tls.certManager.enabled=true." -}}
{{- end -}}
{{- $workerSet := include "llm-gateway.workerSettings" . | fromYaml -}}
{{- range $workers.extraEnv -}}
{{- if hasKey $workerSet .name -}}
{{- $found = append $found (printf "workers.extraEnv must not set %s: the chart sets it from a value of its own." .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq $workers.engine "tensorrtllm" -}}
{{- $weights := $workers.weights -}}
{{- if and (eq $weights.source "pvc") (not $weights.pvc.existingClaim) (not $weights.pvc.size) -}}
{{- $found = append $found "workers.weights.pvc needs existingClaim, or size to make one (80Gi): GPU workers read the checkpoint from it." -}}
{{- end -}}
{{- if and (eq $weights.source "hostPath") (not $weights.hostPath) -}}
{{- $found = append $found "workers.weights.hostPath is needed with source hostPath: the directory on the nodes that holds the checkpoint's." -}}
{{- end -}}
{{- if and (eq $weights.source "hostPath") $weights.job.enabled -}}
{{- $found = append $found "workers.weights.job fills a pvc, and cannot reach every node: set workers.weights.source=pvc, or job.enabled=false and fill the nodes yourself." -}}
{{- end -}}
{{- if and $weights.job.enabled (eq $weights.source "pvc") (not $weights.pvc.existingClaim) (not (or (has "ReadWriteMany" $weights.pvc.accessModes) (has "ReadWriteOnce" $weights.pvc.accessModes))) -}}
{{- $found = append $found "workers.weights.pvc.accessModes must hold ReadWriteMany or ReadWriteOnce with workers.weights.job: it writes, while workers wait with the volume." -}}
{{- end -}}
{{- if and $weights.job.enabled (not $weights.subPath) -}}
{{- $found = append $found "workers.weights.subPath is needed with workers.weights.job: the directory that it makes." -}}
{{- end -}}
{{- if and (hasKey (merge dict (($workers.tensorrtllm.resources | default dict).limits | default dict) (($workers.tensorrtllm.resources | default dict).requests | default dict)) $workers.tensorrtllm.gpuResource) -}}
{{- $found = append $found (printf "workers.tensorrtllm.resources must not hold %s: the preset says how many GPUs a worker has." $workers.tensorrtllm.gpuResource) -}}
{{- end -}}
{{- end -}}

{{- /* Certificates. */ -}}
{{- range $name, $tls := dict "gateway.tls" $gateway.tls "admin.tls" .Values.admin.tls -}}
{{- if and $tls.enabled (not $tls.existingSecret) (not $tls.certManager.enabled) -}}
{{- $found = append $found (printf "%s.enabled needs %s.existingSecret, a Secret of type kubernetes.io/tls, or %s.certManager.enabled=true." $name $name $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $tls := dict "gateway.tls" $gateway.tls "admin.tls" .Values.admin.tls "workers.tls" $workers.tls -}}
{{- if $tls.certManager.enabled -}}
{{- if $tls.existingSecret -}}
{{- $found = append $found (printf "%s has both existingSecret and certManager.enabled: cert-manager would write over yours. Take one away." $name) -}}
{{- end -}}
{{- if not $tls.certManager.issuerRef.name -}}
{{- $found = append $found (printf "%s.certManager.issuerRef.name is needed: which issuer is asked." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* How many. */ -}}
{{- $scaling := $gateway.autoscaling -}}
{{- if ne $scaling.mode "none" -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- $found = append $found "gateway.autoscaling.minReplicas must not exceed maxReplicas." -}}
{{- end -}}
{{- end -}}
{{- if and (eq $scaling.mode "hpa") (not (dig "requests" "cpu" "" ($gateway.resources | default dict))) -}}
{{- $found = append $found "gateway.autoscaling.mode=hpa needs gateway.resources.requests.cpu: it aims at a share of that." -}}
{{- end -}}
{{- if and (eq $scaling.mode "keda") (not $scaling.prometheusAddress) -}}
{{- $found = append $found "gateway.autoscaling.mode=keda needs gateway.autoscaling.prometheusAddress, such as http://prometheus-operated.monitoring:9090." -}}
{{- end -}}

{{- /* The way in. */ -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- $found = append $found "httpRoute.parentRefs is needed: which Gateway the route belongs to, such as [{name: public, namespace: gateways}]." -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- $found = append $found "ingress.hosts is needed: for which names, such as [api.example.com]." -}}
{{- end -}}

{{- /* Declarations. */ -}}
{{- range (.Values.seed.declarations | default dict).keys -}}
{{- if hasKey . "token" -}}
{{- $found = append $found "seed.declarations.keys must not hold tokens: write token_file: /tokens/<name>, and put the token under that name into the Secret seed.tokensSecret." -}}
{{- end -}}
{{- if and (hasKey . "token_file") (not (regexMatch "^/tokens/[-._a-zA-Z0-9]+$" (toString .token_file))) -}}
{{- $found = append $found (printf "seed.declarations.keys has the token_file %s: write /tokens/<name>, where <name> is a key of the Secret seed.tokensSecret." (toString .token_file)) -}}
{{- end -}}
{{- if and (hasKey . "token_file") (not $.Values.seed.tokensSecret) -}}
{{- $found = append $found "seed.tokensSecret is needed: the Secret whose keys are the token_files of seed.declarations.keys." -}}
{{- end -}}
{{- end -}}

{{- with uniq $found -}}
{{- fail (printf "\n\nThese values do not go together:\n  - %s\n" (join "\n  - " .)) -}}
{{- end -}}
{{- end -}}

{{/* What an upgrade must not do to the store, as a list of sentences. Only a Helm that sees the cluster finds it out. */}}
{{- define "llm-gateway.validateStore" -}}
{{- $name := printf "%s-redis" (include "llm-gateway.fullname" .) -}}
{{- $old := lookup "apps/v1" "StatefulSet" .Release.Namespace $name -}}
{{- if $old -}}
{{- $redis := .Values.redis -}}
{{- if eq $redis.mode "external" -}}
{{- if not $redis.external.dataMoved -}}
- This upgrade would take the gateways from the internal Redis to another one, and leave all keys, quotas and bills behind. Move the data (docs/upgrading.md), then set redis.external.dataMoved=true.
{{- end -}}
{{- else -}}
{{- $claims := dig "spec" "volumeClaimTemplates" list $old -}}
{{- $size := "" -}}
{{- with first $claims }}{{ $size = dig "spec" "resources" "requests" "storage" "" . }}{{ end -}}
{{- $wanted := ternary $redis.internal.persistence.size "" $redis.internal.persistence.enabled -}}
{{- if ne (include "llm-gateway.bytes" $size) (include "llm-gateway.bytes" $wanted) -}}
- The volume of the internal Redis cannot be changed by an upgrade (it is {{ $size | default "none" }}, and redis.internal.persistence wants {{ $wanted | default "none" }}). See docs/upgrading.md, or set redis.internal.persistence as it was.
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
