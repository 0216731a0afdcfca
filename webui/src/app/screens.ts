/** The screens, in the order of the navigation. */

import {
  AudioLines,
  ListMusic,
  type LucideIcon,
  MicVocal,
  Server,
  Settings2,
  Users,
} from 'lucide-react';
import { m } from '@/messages';

export interface Screen {
  readonly path: string;
  readonly name: string;
  readonly icon: LucideIcon;
}

export const SCREENS: readonly Screen[] = [
  { path: '/', name: m.screens.speak, icon: AudioLines },
  { path: '/playlist', name: m.screens.playlist, icon: ListMusic },
  { path: '/voices', name: m.screens.voices, icon: Users },
  { path: '/convert', name: m.screens.convert, icon: MicVocal },
  { path: '/cluster', name: m.screens.cluster, icon: Server },
  { path: '/settings', name: m.screens.settings, icon: Settings2 },
];
