import { QueryClientProvider } from "@tanstack/react-query";
import { Component, Suspense, useEffect, useState, type ErrorInfo, type ReactNode } from "react";
import { Route, Router, Switch, useLocation } from "wouter";
import { connection } from "../data/connection";
import { queryClient } from "../data/queries";
import { useWatched } from "../data/store";
import { Button } from "../parts/Button";
import { Empty, Failed, Loading } from "../parts/notices";
import { Page } from "../parts/Page";
import { screens } from "../screens";
import { Help } from "./Help";
import { Palette } from "./Palette";
import { Rail } from "./Rail";
import { SignIn } from "./SignIn";
import { TopBar } from "./TopBar";
import { preferences } from "./preferences";
import { useShortcuts } from "./shortcuts";
import styles from "./App.module.css";

export function App() {
  return (
    <QueryClientProvider client={queryClient}>
      <Router base="/studio">
        <Shell />
      </Router>
    </QueryClientProvider>
  );
}

type Overlay = "palette" | "help" | "rail" | null;

function Shell() {
  const [location, go] = useLocation();
  const [overlay, setOverlay] = useState<Overlay>(null);
  const signedOut = useWatched(connection).state === "signed-out";
  useEffect(() => setOverlay(null), [location]);
  useShortcuts("Everywhere", [
    { keys: "?", label: "Show keys", run: () => setOverlay("help") },
    { keys: "Mod+k", label: "Go to anything", run: () => setOverlay("palette") },
    { keys: "\\", label: "Fold or unfold the rail", run: () => preferences.set({ railOpen: !preferences.get().railOpen }) },
    ...screens.map(({ path, label, key }) => ({ keys: `g ${key}`, label: `Go to ${label}`, run: () => go(path) })),
  ]);
  const close = () => setOverlay(null);
  return (
    <div className={styles.shell}>
      <a className={styles.skip} href="#main">Skip to the page</a>
      <TopBar onMenu={() => setOverlay("rail")} onPalette={() => setOverlay("palette")} onHelp={() => setOverlay("help")} />
      <Rail open={overlay === "rail"} onClose={close} />
      <main id="main" className={styles.main} tabIndex={-1}>
        <Fence key={location.split("/")[1]}>
          <Suspense fallback={<Loading what="the screen" />}>
            <Switch>
              {screens.flatMap(({ path, inside, Component }) =>
                [path, inside].filter((it) => it !== undefined).map((path) => (
                  <Route key={path} path={path}><Component /></Route>
                )),
              )}
              <Route>
                <Empty title="There is nothing at this address." action={<Button onClick={() => go("/")}>Go home</Button>} />
              </Route>
            </Switch>
          </Suspense>
        </Fence>
      </main>
      {overlay === "palette" && <Palette onClose={close} />}
      {overlay === "help" && <Help onClose={close} />}
      {signedOut && <SignIn />}
    </div>
  );
}

/** Keeps a mistake of one screen from taking the others with it. */
class Fence extends Component<{ children: ReactNode }, { error: unknown }> {
  state = { error: null as unknown };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  componentDidCatch(error: unknown, info: ErrorInfo) {
    console.error(error, info.componentStack);
  }

  render() {
    if (this.state.error === null) return this.props.children;
    return (
      <Page title="This screen broke">
        <Failed
          what="It cannot be shown" error={this.state.error} safe="Nothing on the server is touched by this."
          actions={<Button onClick={() => location.reload()}>Load it again</Button>}
        />
      </Page>
    );
  }
}
