import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
} from '@tanstack/react-router';
import { Failure, NotFound } from './failure';
import { Shell } from './shell';

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

const routes = [
  createRoute({
    getParentRoute: () => root,
    path: '/',
    component: lazyRouteComponent(() => import('@/features/speak/speak-page')),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/playlist',
    component: lazyRouteComponent(() => import('@/features/playlist/playlist-page')),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/voices',
    component: lazyRouteComponent(() => import('@/features/voices/voices-page')),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/convert',
    component: lazyRouteComponent(() => import('@/features/convert/convert-page')),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/cluster',
    component: lazyRouteComponent(() => import('@/features/cluster/cluster-page')),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/settings',
    component: lazyRouteComponent(() => import('@/features/settings/settings-page')),
  }),
];

export const router = createRouter({
  routeTree: root.addChildren(routes),
  defaultPreload: 'intent',
  defaultErrorComponent: Failure,
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
