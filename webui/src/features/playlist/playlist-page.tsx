export default function PlaylistPage() {
  return null;
}
