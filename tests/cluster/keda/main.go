// What KEDA makes of an answer: its own metrics-api scaler reads it, with the trigger of a ScaledObject.
//
//	keda read METADATA   the metadata of the trigger, as JSON; prints {"value", "active", "target"}, or fails as KEDA does
//	keda definitions     prints KEDA's definition of ScaledObject
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/kedacore/keda/v2/everloop/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
)

//go:embed scaledobjects.yaml
var definitions string

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 1 && arguments[0] == "definitions":
		fmt.Print(definitions)
		return nil
	case len(arguments) == 2 && arguments[0] == "read":
		return read(arguments[1])
	}
	return fmt.Errorf("keda read METADATA | keda definitions")
}

func read(text string) error {
	config := scalersconfig.ScalerConfig{GlobalHTTPTimeout: 3 * time.Second}
	if err := json.Unmarshal([]byte(text), &config.TriggerMetadata); err != nil {
		return err
	}
	scaler, err := scalers.NewMetricsAPIScaler(&config, nil)
	if err != nil {
		return err
	}
	ctx := context.Background()
	spec := scaler.GetMetricSpecForScaling(ctx)[0].External
	values, active, err := scaler.GetMetricsAndActivity(ctx, spec.Metric.Name)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"value":  values[0].Value.AsApproximateFloat64(),
		"active": active,
		"target": spec.Target,
	})
}
