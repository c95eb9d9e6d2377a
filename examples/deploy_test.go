package examples_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// number is what a pattern finds in a text, or -1.
func number(text, pattern string) int {
	if m := regexp.MustCompile(pattern).FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return -1
}

// unfit says what in the files of examples/deploy does not fit the program of examples/service and what the library states.
func unfit(files map[string]string) (complaints []string) {
	service, kubernetes := files["service/main.go"], files["deploy/kubernetes.yaml"]
	want := func(what string, ok bool) {
		if !ok {
			complaints = append(complaints, what)
		}
	}
	drain := number(service, `consumer\.WithDrainTimeout\((\d+)\*time\.Second\)`)
	longer := number(files["../consumer/options.go"], `Run may take (\d+) s longer`)
	term := number(files["../consumer/internal/lease/tenure.go"], `\bTerm += (\d+) \* time\.Second`)
	want("the program or the library states no number", drain > 0 && longer > 0 && term > 0)

	grace := number(kubernetes, `(?m)^      terminationGracePeriodSeconds: (\d+)$`)
	want(fmt.Sprintf("Kubernetes kills %d s after SIGTERM", grace), grace >= drain+longer)
	ready := number(kubernetes, `(?m)^  minReadySeconds: (\d+)`)
	want(fmt.Sprintf("replicas follow each other in %d s", ready), ready > term)
	for _, text := range []string{fmt.Sprintf("WithDrainTimeout(%d s), and the %d s ", drain, longer), fmt.Sprintf("dead after %d s", term)} {
		want("no comment says "+text, strings.Contains(kubernetes, text))
	}
	probe := regexp.MustCompile(`(\w+)Probe:\n +httpGet:\n +path: (\S+)\n +port: http\n +periodSeconds: (\d+)(?:\n +failureThreshold: (\d+))?`)
	probes := map[string][]string{}
	for _, m := range probe.FindAllStringSubmatch(kubernetes, -1) {
		probes[m[1]] = m[2:]
	}
	served := func(path, of string) bool {
		return strings.Contains(service, fmt.Sprintf(`HandleFunc("%s", check(consumer.Status.%s))`, path, of))
	}
	lasts := 0
	if p := probes["liveness"]; p != nil {
		period, _ := strconv.Atoi(p[1])
		times, _ := strconv.Atoi(p[2])
		lasts = period * times
		want("liveness asks for "+p[0], served(p[0], "Err"))
	}
	want(fmt.Sprintf("trouble of %d s restarts a replica", lasts), lasts >= 120)
	if p := probes["readiness"]; p == nil || !served(p[0], "Ready") {
		want("readiness is not what the program says", false)
	}
	port := number(service, `flag\.String\("http", ":(\d+)"`)
	want("Kubernetes asks another port", port == number(kubernetes, `containerPort: (\d+)`))
	want("a drain of nodes takes more than one replica", number(kubernetes, `(?m)^kind: PodDisruptionBudget\n(?s:.*)^  maxUnavailable: (\d+)$`) == 1)
	want("a deploy takes replicas away first", number(kubernetes, `(?m)^      maxUnavailable: (\d+)$`) == 0)

	var task struct {
		ContainerDefinitions []struct {
			StopTimeout  int
			PortMappings []struct{ ContainerPort int }
			HealthCheck  struct {
				Command           []string
				Interval, Retries int
			}
		}
	}
	if err := json.Unmarshal([]byte(files["deploy/ecs.json"]), &task); err != nil || len(task.ContainerDefinitions) != 1 || len(task.ContainerDefinitions[0].PortMappings) != 1 {
		return append(complaints, fmt.Sprintf("the task has %d containers: %v", len(task.ContainerDefinitions), err))
	}
	c := task.ContainerDefinitions[0]
	want(fmt.Sprintf("ECS kills %d s after SIGTERM", c.StopTimeout), c.StopTimeout >= drain+longer && c.StopTimeout <= 120) // Fargate's most
	want("ECS asks another port", c.PortMappings[0].ContainerPort == port)
	asks := regexp.MustCompile(`http://127\.0\.0\.1:(\d+)(/\w+)`).FindStringSubmatch(strings.Join(c.HealthCheck.Command, " "))
	want("ECS does not ask for health", asks != nil && asks[1] == strconv.Itoa(port) && served(asks[2], "Err"))
	want("a short trouble makes ECS restart a task", c.HealthCheck.Interval*c.HealthCheck.Retries >= 120)
	return complaints
}

func TestDeploy(t *testing.T) {
	files := map[string]string{}
	for _, path := range []string{"service/main.go", "deploy/kubernetes.yaml", "deploy/ecs.json", "../consumer/options.go", "../consumer/internal/lease/tenure.go"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[path] = string(text)
	}
	// A comment may break a line anywhere.
	files["../consumer/options.go"] = strings.ReplaceAll(files["../consumer/options.go"], "\n// ", " ")
	for _, complaint := range unfit(files) {
		t.Error(complaint)
	}
	for _, c := range []struct{ file, old, changed, want string }{
		{"service/main.go", "WithDrainTimeout(20*", "WithDrainTimeout(26*", "Kubernetes kills 30 s"},
		{"service/main.go", "WithDrainTimeout(20*", "WithDrainTimeout(26*", "ECS kills 30 s"},
		{"service/main.go", `"/readyz"`, `"/ready"`, "readiness is not"},
		{"service/main.go", `check(consumer.Status.Err)`, "check(consumer.Status.Ready)", "liveness asks for /healthz"},
		{"service/main.go", `check(consumer.Status.Err)`, "check(consumer.Status.Ready)", "ECS does not ask"},
		{"service/main.go", `":8080"`, `":8081"`, "Kubernetes asks another port"},
		{"service/main.go", `":8080"`, `":8081"`, "ECS asks another port"},
		{"../consumer/options.go", "Run may take 5 s longer", "Run may take 15 s longer", "Kubernetes kills 30 s"},
		{"../consumer/options.go", "Run may take 5 s longer", "Run may take longer", "states no number"},
		{"../consumer/internal/lease/tenure.go", "10 * time.Second", "20 * time.Second", "follow each other in 15 s"},
		{"deploy/kubernetes.yaml", "dead after 10 s", "dead after 9 s", "no comment says dead"},
		{"deploy/kubernetes.yaml", "terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 20", "kills 20 s"},
		{"deploy/kubernetes.yaml", "failureThreshold: 10", "failureThreshold: 3", "trouble of 90 s"},
		{"deploy/kubernetes.yaml", "      maxUnavailable: 0", "      maxUnavailable: 1", "takes replicas away first"},
		{"deploy/kubernetes.yaml", "\n  maxUnavailable: 1", "\n  maxUnavailable: 2", "more than one replica"},
		{"deploy/ecs.json", `"stopTimeout": 30`, `"stopTimeout": 24`, "ECS kills 24 s"},
		{"deploy/ecs.json", `"retries": 10`, `"retries": 3`, "short trouble"},
		{"deploy/ecs.json", `"family": "billing",`, `"family": "billing"`, "0 containers"},
	} {
		other := maps.Clone(files)
		other[c.file] = strings.ReplaceAll(files[c.file], c.old, c.changed)
		if !slices.ContainsFunc(unfit(other), func(s string) bool { return strings.Contains(s, c.want) }) {
			t.Errorf("with %q in %s: %q, want %q", c.changed, c.file, unfit(other), c.want)
		}
	}
}
